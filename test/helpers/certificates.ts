import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']

/**
 * Makes an authority of its own in `folder`, and by it a certificate of a server at 127.0.0.1 and one of a client:
 * `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
 */
export async function makeCertificates(folder: string): Promise<void> {
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args, { cwd: folder })
  await openssl('req', '-x509', ...EC, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=own')
  writeFileSync(join(folder, 'server.ext'), 'subjectAltName=IP:127.0.0.1')
  writeFileSync(join(folder, 'client.ext'), 'extendedKeyUsage=clientAuth')
  const by = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2']
  for (const name of ['server', 'client']) {
    const asked = ['-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`]
    await openssl('req', ...EC.slice(0, -2), ...asked)
    const signed = ['-in', `${name}.csr`, '-out', `${name}.pem`, '-extfile', `${name}.ext`]
    await openssl('x509', '-req', ...signed, ...by)
  }
}
