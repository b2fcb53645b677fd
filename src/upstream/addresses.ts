import { type LookupAddress, lookup } from 'node:dns'
import { BlockList, isIP, isIPv6, type LookupFunction } from 'node:net'
/** @ts-ignore: there where it is installed */
import type { buildConnector } from 'undici'

/** What is not on the internet, or stands for something that is not (RFC 6890). */
const REFUSED = new BlockList()
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  REFUSED.addSubnet(network, bits, 'ipv4')
// Teredo and 6to4 lead to IPv4 addresses, the others are for documents and protocols.
for (const [network, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const)
  REFUSED.addSubnet(network, bits, 'ipv6')

/** All that is given to hosts of IPv6: loopback, link-local and IPv4 in any of its disguises are outside of it. */
const GLOBAL = new BlockList()
GLOBAL.addSubnet('2000::', 3, 'ipv6')

/** Whether `address` is one of the internet, and of no machine or network of our own. */
export function isPublic(address: string): boolean {
  if (isIP(address) === 0 || address.includes('%')) return false
  if (!isIPv6(address)) return !REFUSED.check(address, 'ipv4')
  return GLOBAL.check(address, 'ipv6') && !REFUSED.check(address, 'ipv6')
}

/** An address that may not be connected to. */
class AddressRefused extends Error {
  readonly code = 'ADDRESS_REFUSED'

  constructor(host: string, address: string) {
    super(`${host} is ${address}, which is no address of the internet (addresses: 'public')`)
  }
}

/** Looks a name up, and refuses it where any of its addresses is not public: whoever owns the name chooses them, anew each time. */
export const lookupPublic: LookupFunction = (host, options, done) => {
  lookup(host, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    const refused = addresses?.find(({ address }) => !isPublic(address))
    const [first] = addresses ?? []
    if (error ?? refused ?? !first)
      done(error ?? new AddressRefused(host, refused?.address ?? 'none'), [])
    else if (options.all) done(null, addresses)
    else done(null, (first as LookupAddress).address, (first as LookupAddress).family)
  })
}

/** `connect`, with {@link lookupPublic}, for hosts that are addresses already, too: nobody looks those up. */
export function connectPublic(connect: buildConnector.connector): buildConnector.connector {
  return (options, done) => {
    const { hostname } = options
    if (isIP(hostname) !== 0 && !isPublic(hostname))
      done(new AddressRefused(hostname, hostname), null)
    else connect(options, done)
  }
}
