// node bench/plain/cluster.ts N FILE…: N processes of a server on one port, as the documentation of node:cluster has it.
import cluster from 'node:cluster'

const [count, exec, ...args] = process.argv.slice(2)
cluster.setupPrimary({ exec, args })
for (let i = 0; i < Number(count); i++) cluster.fork()
