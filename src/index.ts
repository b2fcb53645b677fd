export { type Static, Type } from 'typebox'
export type { ServiceConfig } from './config/schema.ts'
export { secret } from './config/secret.ts'
export { auditResources } from './crud/audit-resources.ts'
export { AuditLog, logChanges } from './crud/change-log.ts'
export { defineList, type PageSchema } from './crud/list.ts'
export { modelResources } from './crud/model-resources.ts'
export { type RowsOptions, rows } from './crud/rows.ts'
export { defineScope } from './crud/scope.ts'
export { currentTransaction } from './database/current-transaction.ts'
export { insertMissing } from './database/insert.ts'
export { defineModel } from './database/model/define.ts'
export { uuidv7 } from './database/model/query/fill.ts'
export { purge, restore, withDeleted, withoutModels } from './database/model/query/hide.ts'
export { column, decimal, timestamp } from './database/model/schemas.ts'
export type { Db, Model, Tables } from './database/model/types.ts'
export { instant } from './database/portable.ts'
export { prepareQuery } from './database/prepared.ts'
export { defineSeed } from './database/seed/seed.ts'
export {
  inTransaction,
  type RetryTransactionOptions,
  retryTransaction,
} from './database/transaction.ts'
export type { DatabaseTables, Timestamp } from './database/types.ts'
export {
  isForeignKeyViolation,
  isTransactionConflict,
  isUniqueViolation,
} from './database/violations.ts'
export {
  defineService,
  type ProcessSettings,
  type ProcessTable,
  type ServiceDefinition,
} from './define-service.ts'
export type { Duration } from './duration.ts'
export { defineError, errors, notFound, PlinthError } from './errors.ts'
export type { PluginFinding } from './findings.ts'
export type { Compat } from './http/compat.ts'
export type { Envelope, ParsedAnswer } from './http/envelope.ts'
export {
  type ApiOperation,
  defineOperations,
  type OperationSettings,
} from './openapi/client/define-operations.ts'
export {
  definePlugin,
  type Plugin,
  type PluginContext,
  type PluginDefinition,
  type PluginMetric,
} from './plugin.ts'
export {
  type Api,
  type ApiDefinition,
  type ApiResourceDefinition,
  defineApi,
} from './remote/api.ts'
export type {
  ApiAuth,
  ApiCall,
  ApiFailure,
  ApiHeaders,
  ApiHooks,
  ApiRequest,
  ApiSettings,
} from './remote/api-settings.ts'
export {
  type BkApi,
  type BkApiDefinition,
  type BkApiResourceDefinition,
  defineBkApi,
} from './remote/bk-api.ts'
export { type Client, type ClientOptions, createClient } from './remote/client.ts'
export type { RemoteAuth, RemoteSettings } from './remote/remote-resource.ts'
export type { CallOptions } from './resource/call.ts'
export {
  Context,
  currentContext,
  type Identify,
  type LoadUser,
  type User,
} from './resource/context.ts'
export { type DownloadOptions, download } from './resource/download.ts'
export type { EnqueueManyOptions, Task, TaskFlow } from './resource/enqueue.ts'
export type { Authorize } from './resource/execute.ts'
export { defineModule } from './resource/module.ts'
export { defineResource, type Resource } from './resource/resource.ts'
export type { Call, StepMessage } from './resource/steps.ts'
export { type ByteAnswer, events, file, type ServerEvent, stream } from './resource/stream.ts'
export { chain, group } from './resource/task-plan.ts'
export { fail, type RetryOptions, retry } from './resource/task-verdict.ts'
export { type App, createApp } from './service.ts'
export {
  DiskFile,
  type FileValue,
  fileAt,
  type OpenedFile,
  openFile,
  saveFile,
  type Upload,
} from './upstream/body.ts'
export type { UpstreamAnswer } from './upstream/exchange.ts'
export { type UpstreamDetails, UpstreamError } from './upstream/upstream-error.ts'
