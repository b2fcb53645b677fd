import { takeTest } from './together.ts'

// What is loaded in place of tap where test files run together, once for each of them.
export default takeTest()
