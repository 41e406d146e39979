import assert from 'node:assert/strict';
import { release } from 'node:os';
import { test } from 'node:test';
import {
  h2load,
  makeCertificate,
  PLAINSIGHT,
  scaled,
  startAgentWith,
  startNginx,
  temporaryFolder,
  until,
  written,
} from './harness.ts';

const REQUESTS = scaled(2_000, 500);
const FEW = '-all,+bpf,+perfmon,+sys_ptrace,+dac_read_search';
const [major = 0, minor = 0] = release().split('.').map(Number);
/** Memory of BPF counts against the limit before 5.11; raising it is not everybody's right. */
const MEMLOCK = major > 5 || minor >= 11 ? [] : ['prlimit', '--memlock=unlimited'];
const WITH_FEW = [...MEMLOCK, 'setpriv', `--bounding-set=${FEW}`, `--inh-caps=${FEW}`, '--no-new-privs', PLAINSIGHT];

/** uprobe_multi, which is what makes SYS_ADMIN superfluous. */
const FROM_6_6 = major > 6 || (major === 6 && minor >= 6);

for (const scheme of ['https', 'http'] as const) {
  const title = `with BPF, PERFMON, SYS_PTRACE and DAC_READ_SEARCH alone, ${scheme}`;
  const labels = { service: 'nginx', scheme };
  const isSeen = FROM_6_6 || scheme === 'http';
  const expected = isSeen ? `each of ${written(REQUESTS)} requests is counted` : 'says that it cannot attach, and why';
  test(`${title}: ${expected}`, async (t) => {
    const tls = scheme === 'https' ? await makeCertificate(temporaryFolder(t)) : undefined;
    const nginx = await startNginx(t, { tls });
    const agent = await startAgentWith(t, WITH_FEW);
    assert.equal(await h2load(`${scheme}://127.0.0.1:${nginx.port}`, ['/ok'], REQUESTS), REQUESTS);
    if (isSeen) {
      const exposition = await agent.expect('server', labels, new Map([['GET 200', REQUESTS]]));
      assert.equal(exposition.lost(), 0);
    } else {
      const refused = { library: 'openssl', state: 'failed', reason: 'attach failed' };
      const exposition = await until('nginx is said not to be seen', async () => {
        const scraped = await agent.scrape();
        return scraped.sum('plainsight_tls_processes', refused) > 0 ? scraped : undefined;
      });
      assert.deepEqual(exposition.transactions('server', labels), new Map());
      assert.match(agent.stderr(), /cannot be attached.*SYS_ADMIN/);
    }
    assert.equal((await agent.stop()).code, 0, agent.stderr());
  });
}
