import { errors } from '../errors.ts'
import type { ChildPolicy, EnqueueOptions, TaskTree } from '../task/types.ts'
import { toCall } from './call.ts'
import { currentContext } from './context.ts'
import type { AnyDefined } from './contract.ts'
import { handleOf, type TaskFlow, tasksOf, toTask } from './enqueue.ts'
import { authorize } from './execute.ts'

/** A task that is not added yet: what `resource.task(request, options)` makes. */
export interface TaskPlan {
  readonly resource: AnyDefined
  readonly request: unknown
  readonly options: PlanOptions
}

/** How a task is enqueued with others. */
export interface PlanOptions extends EnqueueOptions {
  /**
   * What becomes of the task that waits for it where it fails, crashes or is cancelled. `fail` (default): that fails, too. `ignore`: that runs when
   * the others have ended. `continue`: that runs at once, whatever the others do. What it has for a result is null then, and why is in
   * `context.task.childFailures()`.
   */
  ifFails?: ChildPolicy
}

/**
 * Adds tasks that run one after the other; each finds the result of the one before in `context.task.childResults()`.
 *
 * @returns the last one, and as its `children` all before it; it fails where one of them does, and cancels them where it is
 *   cancelled
 * @throws {PlinthError} as `enqueue`
 */
export async function chain(first: TaskPlan, ...rest: readonly TaskPlan[]): Promise<TaskFlow> {
  let tree = await toTree(first, [])
  const before: TaskTree[] = []
  for (const plan of rest) {
    before.push(tree)
    tree = await toTree(plan, [tree])
  }
  return await submit(tree, before)
}

/**
 * Adds tasks that run in any order, at once as far as there are workers, and `then`, which runs when all have
 * succeeded, with their results in `context.task.childResults()`.
 *
 * @returns `then`, and as its `children` the others; it fails where one of them does, and cancels them where it is cancelled
 * @throws {PlinthError} as `enqueue`
 */
export async function group(plans: readonly TaskPlan[], then: TaskPlan): Promise<TaskFlow> {
  const children = await Promise.all(plans.map((plan) => toTree(plan, [])))
  return await submit(await toTree(then, children), children)
}

async function toTree(
  { resource, request, options }: TaskPlan,
  children: TaskTree[],
): Promise<TaskTree> {
  const call = toCall(resource, request)
  await authorize(call)
  return { ...toTask(call, options), children }
}

async function submit(tree: TaskTree, before: readonly TaskTree[]): Promise<TaskFlow> {
  const context = currentContext()
  if (!context) throw errors.CONTEXT_MISSING(tree.data.resource)
  const tasks = tasksOf(context)
  const handle = handleOf(await tasks.submit(tree), tasks)
  return { ...handle, children: before.map(({ id }) => handleOf(id, tasks)) }
}
