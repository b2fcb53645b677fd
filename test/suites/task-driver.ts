import t from 'tap'
import {
  taskCancelRace,
  taskCancelRunning,
  taskCancelTrue,
  taskCancelWaiting,
  taskClosed,
  taskLists,
  taskPaused,
  taskRemoved,
  taskRetried,
  taskStopped,
  taskWaitedFor,
} from './task-ending.ts'
import type { DriverUnderTest } from './task-fixture.ts'
import { taskKeep, taskKeys, taskKeysInTrees, taskKeysOfEnds } from './task-keeping.ts'
import {
  taskPlaces,
  taskPlacesChanged,
  taskPlacesFreed,
  taskPlacesInOrder,
  taskPlacesInTree,
  taskPlacesInWindow,
  taskPlacesPaused,
  taskPlacesStopped,
} from './task-places.ts'
import {
  taskAgain,
  taskAlias,
  taskBackoff,
  taskConcurrency,
  taskDebounced,
  taskFailures,
  taskLife,
  taskLimitSlides,
  taskLimits,
  taskNowhere,
  taskOnce,
  taskOrder,
  taskQueueConcurrency,
  taskResults,
  taskThrottled,
  taskUnique,
} from './task-running.ts'
import {
  taskTree,
  taskTreeCancelled,
  taskTreeExisting,
  taskTreeFailing,
  taskTreePolicies,
  taskTreeRace,
} from './task-trees.ts'

const BEHAVIOURS = {
  'runs a task and tells where it is': taskLife,
  'gives results back as JSON does': taskResults,
  'adds an id once': taskOnce,
  'adds no second one that is unique': taskUnique,
  'adds none for a while after an equal one': taskThrottled,
  'puts off one that waits when an equal one comes': taskDebounced,
  'finds a task by another id': taskAlias,
  'knows nothing of what is not there': taskNowhere,
  'keeps failures as clients may see them, and tries again': taskFailures,
  'waits longer from try to try': taskBackoff,
  'runs those first that are more urgent, and delayed ones when it is time': taskOrder,
  'runs as many at once as it may': taskConcurrency,
  'waits no longer than the cap of a backoff, or as long as the failure says': taskAgain,
  'runs as many of a queue at once as all workers together may': taskQueueConcurrency,
  'runs as many with a key at once as it may, and lets others pass': taskPlaces,
  'runs those with a key in their order': taskPlacesInOrder,
  'gives a place to the next one, however it comes free': taskPlacesFreed,
  'gives a place on that nobody has used': taskPlacesPaused,
  'hands back places with what it stops': taskPlacesStopped,
  'has as many places as the worker says': taskPlacesChanged,
  'counts none that waits for a place as one that has started': taskPlacesInWindow,
  'has parents and children wait for places': taskPlacesInTree,
  'starts as many in a time as it may': taskLimits,
  'starts no more in any stretch of time, wherever that begins': taskLimitSlides,
  'keeps one with a key as long as that holds, and refuses another input': taskKeys,
  'keeps those with a key however they end': taskKeysOfEnds,
  'holds to the key of a tree': taskKeysInTrees,
  'keeps what has ended as its resource says': taskKeep,
  'runs a parent after its children': taskTree,
  'adds all of a tree or nothing': taskTreeExisting,
  'adds a child to one tree, whoever else adds it': taskTreeRace,
  'fails a parent with its child, and tries both again': taskTreeFailing,
  'goes on without a child where that says so': taskTreePolicies,
  'cancels parents and children': taskTreeCancelled,
  'cancels what does not run yet': taskCancelWaiting,
  'cancels what runs': taskCancelRunning,
  'cancels what is about to run': taskCancelRace,
  'cancels what says so, and nothing else': taskCancelTrue,
  'puts back what has failed or was cancelled': taskRetried,
  'removes what does not run': taskRemoved,
  'lists and counts': taskLists,
  'pauses a queue': taskPaused,
  'stops, and hands back what does not end in time': taskStopped,
  'lets those who wait give up': taskWaitedFor,
  'begins nothing any more when it is closed': taskClosed,
} as const

/** What every driver of tasks does alike. */
export function taskDriverSuite(driver: DriverUnderTest): void {
  t.test(driver.name, async (t) => {
    for (const [title, behaviour] of Object.entries(BEHAVIOURS)) {
      await t.test(title, (t) => behaviour(t, driver))
    }
  })
}
