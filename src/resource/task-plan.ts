import { errors } from '../errors.ts'
import type { EnqueueOptions, TaskTree } from '../task/types.ts'
import { toCall } from './call.ts'
import { currentContext } from './context.ts'
import type { AnyDefined } from './contract.ts'
import { handleOf, type Task, tasksOf, toTask } from './enqueue.ts'
import { authorize } from './execute.ts'

/** A task that is not added yet: what `resource.task(request, options)` makes. */
export interface TaskPlan {
  readonly resource: AnyDefined
  readonly request: unknown
  readonly options: EnqueueOptions
}

/**
 * Adds tasks that run one after the other; each finds the result of the one before in `context.task.childResults()`.
 *
 * @returns the last one; it fails where one before it does
 * @throws {PlinthError} as `enqueue`
 */
export async function chain(first: TaskPlan, ...rest: readonly TaskPlan[]): Promise<Task> {
  let tree = await toTree(first, [])
  for (const plan of rest) tree = await toTree(plan, [tree])
  return await submit(tree)
}

/**
 * Adds tasks that run in any order, at once as far as there are workers, and `then`, which runs when all have
 * succeeded, with their results in `context.task.childResults()`.
 *
 * @returns `then`; it fails where one of the others does
 * @throws {PlinthError} as `enqueue`
 */
export async function group(plans: readonly TaskPlan[], then: TaskPlan): Promise<Task> {
  const children = await Promise.all(plans.map((plan) => toTree(plan, [])))
  return await submit(await toTree(then, children))
}

async function toTree(
  { resource, request, options }: TaskPlan,
  children: TaskTree[],
): Promise<TaskTree> {
  const call = toCall(resource, request)
  await authorize(call)
  return { ...toTask(call, options), children }
}

async function submit(tree: TaskTree): Promise<Task> {
  const context = currentContext()
  if (!context) throw errors.CONTEXT_MISSING(tree.data.resource)
  const tasks = tasksOf(context)
  return handleOf(await tasks.submit(tree), tasks)
}
