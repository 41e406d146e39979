import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FunctionSymbol } from '../../src/elf/symbols.ts';
import { decodeCookie } from '../../src/probes/cookie.ts';
import { type CallSignature, DEFAULT_PLAN_OPTIONS, type PlanOptions, planProbes } from '../../src/probes/plan.ts';
import { describePlan, realFunctions, signatureOf } from './functions.ts';
import { checkPlan, randomNumbers } from './walk.ts';

const READ: CallSignature = { operation: 'read', convention: 'n' };
const READ_EX: CallSignature = { operation: 'read', convention: 'ex' };
const FREE: CallSignature = { operation: 'free', convention: 'n' };

function symbolOf(sizeBytes: number): FunctionSymbol {
  return { name: 'f', address: 0x5000, sizeBytes, fileOffset: 0 };
}

function plan(hex: string, signature = READ, options: Partial<PlanOptions> = {}, machine: 'x64' | 'arm64' = 'x64') {
  const code = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  return planProbes({ machine, code }, symbolOf(code.length), signature, { ...DEFAULT_PLAN_OPTIONS, ...options });
}

/** Offsets in hexadecimal, as objdump shows them: the entry, the returns, and why these are no sites. */
const EXPECTED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'x64 openssl 1.1.1w': {
    SSL_read: '16 emulated depth 24; 37 emulated depth 24',
    SSL_write: '16 emulated depth 24; 37 emulated depth 24',
    SSL_read_ex: '0 single-step; 17 single-step',
    SSL_write_ex: '0 single-step; 17 single-step',
    SSL_free: '3 emulated',
    SSL_shutdown: '0 emulated',
  },
  'x64 openssl 3.0.20': {
    SSL_read: '16 emulated depth 24; 38 emulated depth 24',
    SSL_write: '16 emulated depth 24; 38 emulated depth 24',
    SSL_read_ex: '0 single-step; 1c single-step',
    SSL_write_ex: '0 single-step; 1c single-step',
    SSL_free: '3 emulated',
    SSL_shutdown: '0 emulated',
  },
  'x64 openssl 3.5.7': {
    SSL_read: '1a emulated depth 24; 3c emulated depth 24',
    SSL_write: '1a emulated depth 24; 3e emulated depth 24',
    SSL_read_ex: '0 single-step; 20 single-step',
    SSL_write_ex: '9 emulated register 8; 9 uretprobe; tail call',
    SSL_free: '7 emulated',
    SSL_shutdown: '4 emulated',
  },
  'x64 openssl 3.6.5': {
    SSL_read: '1a emulated depth 24; 3a emulated depth 24',
    SSL_write: '1a emulated depth 24; 3c emulated depth 24',
    SSL_read_ex: '0 single-step; 20 single-step',
    SSL_write_ex: '9 emulated register 8; 9 uretprobe; tail call',
    SSL_free: '7 emulated',
    SSL_shutdown: '0 single-step',
  },
  'x64 gnutls 3.7.1': {
    gnutls_record_recv: 'a emulated; a uretprobe; tail call',
    gnutls_record_send: '5 emulated; 5 uretprobe; tail call',
  },
  'x64 gnutls 3.7.9': {
    gnutls_record_recv: '0 single-step; 0 uretprobe; tail call',
    gnutls_record_send: '5 emulated; 5 uretprobe; tail call',
    gnutls_record_send2: '0 emulated; 0 uretprobe; indirect jump',
  },
  'x64 gnutls 3.8.9': {
    gnutls_record_recv: '0 single-step; 0 uretprobe; tail call',
    gnutls_record_send: '9 emulated; 9 uretprobe; tail call',
    gnutls_record_send2: '4 emulated; 4 uretprobe; indirect jump',
  },
  'x64 boringssl 14.0.0': {
    SSL_read: '4 emulated; 3d single-step',
    SSL_write: '4 emulated; 7b emulated depth 72',
    SSL_free: '7 emulated',
    SSL_shutdown: '4 emulated',
  },
  'x64 node 20.20.2': {
    SSL_read: '0 emulated; 99 single-step; da single-step; f8 single-step',
    SSL_write: '0 emulated; 9b single-step; 132 single-step',
    SSL_read_ex: '0 emulated; 93 single-step',
    SSL_write_ex: '0 emulated; 99 single-step',
  },
  'arm64 openssl 1.1.1w': {
    SSL_read: '4 emulated depth 32; 58 emulated',
    SSL_write: '4 emulated depth 32; 58 emulated',
    SSL_read_ex: '0 single-step; 18 emulated',
    SSL_write_ex: '0 single-step; 18 emulated',
    SSL_free: '0 emulated',
    SSL_shutdown: '0 single-step',
  },
  'arm64 openssl 3.0.20': {
    SSL_read: '4 emulated depth 32; 78 emulated',
    SSL_write: '4 emulated depth 32; 78 emulated',
    SSL_read_ex: '0 single-step; 2c emulated',
    SSL_write_ex: '0 single-step; 2c emulated',
    SSL_free: '0 emulated',
    SSL_shutdown: '0 single-step',
  },
  'arm64 openssl 3.5.7': {
    SSL_read: '8 emulated depth 32; 80 emulated',
    SSL_write: '8 emulated depth 32; 84 emulated',
    SSL_read_ex: '0 single-step; 30 emulated',
    SSL_write_ex: 'c emulated register 4; c uretprobe; tail call',
    SSL_free: '4 emulated',
    SSL_shutdown: '0 single-step',
  },
  'arm64 openssl 3.6.5': {
    SSL_read: '8 emulated depth 32; 84 emulated',
    SSL_write: '8 emulated depth 32; 88 emulated',
    SSL_read_ex: '0 single-step; 30 emulated',
    SSL_write_ex: 'c emulated register 4; c uretprobe; tail call',
    SSL_free: '4 emulated',
    SSL_shutdown: '0 single-step',
  },
  'arm64 gnutls 3.7.1': {
    gnutls_record_recv: '8 emulated; 8 uretprobe; tail call',
    gnutls_record_send: '8 emulated; 8 uretprobe; tail call',
  },
  'arm64 gnutls 3.7.9': {
    gnutls_record_recv: '0 single-step; 0 uretprobe; tail call',
    gnutls_record_send: '8 emulated; 8 uretprobe; tail call',
    gnutls_record_send2: '0 single-step; 0 uretprobe; tail call',
  },
  'arm64 gnutls 3.8.9': {
    gnutls_record_recv: '0 single-step; 0 uretprobe; tail call',
    gnutls_record_send: 'c emulated; c uretprobe; tail call',
    gnutls_record_send2: '0 single-step; 0 uretprobe; tail call',
  },
  'arm64 boringssl 14.0.0': {
    SSL_read: '18 emulated depth 48; 50 emulated',
    SSL_write: '1c emulated depth 96; a0 emulated',
    SSL_free: '4 emulated',
    SSL_shutdown: '0 single-step',
  },
};

for (const machine of ['x64', 'arm64'] as const) {
  const functions = realFunctions(machine);

  test(`${machine}: the sites of real functions`, () => {
    const found: Record<string, Record<string, string>> = {};
    for (const { library, symbol, code } of functions) {
      const planned = planProbes({ machine, code }, symbol, signatureOf(symbol.name));
      found[`${machine} ${library}`] ??= {};
      found[`${machine} ${library}`]![symbol.name] = describePlan(planned);
      checkPlan(machine, code, planned, randomNumbers(symbol.address));
    }
    assert.deepEqual(found, Object.fromEntries(Object.entries(EXPECTED).filter(([key]) => key.startsWith(machine))));
  });

  test(`${machine}: whatever the bytes are, no walk passes a site twice or misses one`, () => {
    for (const [index, { symbol, code }] of functions.entries()) {
      const random = randomNumbers(index + 1);
      for (let round = 0; round < 60; round++) {
        const mutated = Buffer.from(code);
        const changes = 1 + (random() % 4);
        for (let i = 0; i < changes; i++) mutated[random() % mutated.length] = random() & 0xff;
        const signature = { ...signatureOf(symbol.name), convention: round % 2 === 0 ? 'n' : 'ex' } as const;
        const returnProbe = (['auto', 'sites', 'uretprobe'] as const)[round % 3]!;
        const planned = planProbes({ machine, code: mutated }, symbol, signature, { returnProbe, attachCookie: true });
        checkPlan(machine, mutated, planned, random);
      }
    }
  });

  test(`${machine}: random bytes, cut and empty code`, () => {
    const random = randomNumbers(99);
    for (let round = 0; round < 500; round++) {
      const code = Buffer.from(Array.from({ length: random() % 200 }, () => random() & 0xff));
      checkPlan(machine, code, planProbes({ machine, code }, symbolOf(code.length), READ), random);
    }
    for (const { symbol, code } of functions) {
      for (let length = 0; length < code.length; length += 3) {
        const cut = planProbes({ machine, code: code.subarray(0, length) }, symbol, signatureOf(symbol.name));
        assert.ok(cut.returns.every((site) => site.method === 'uretprobe'));
        assert.equal(cut.verdict === 'none', cut.entries.length === 0);
      }
    }
  });
}

test('another machine has no sites, and says so', () => {
  assert.deepEqual(planProbes({ machine: 'other' }, symbolOf(96), READ), {
    entries: [],
    returns: [],
    verdict: 'none',
    reason: 'other machine',
    uretprobeReason: '',
  });
});

test('without the code: the first instruction, and a uretprobe there', () => {
  assert.deepEqual(planProbes({ machine: 'x64' }, { ...symbolOf(96), fileOffset: 0x4000 }, READ_EX), {
    entries: [{ offset: 0x4000, kind: 'entry', method: 'uprobe', costClass: 'single-step', cookie: 4n }],
    returns: [{ offset: 0x4000, kind: 'return', method: 'uretprobe', costClass: 'uretprobe', cookie: 12n }],
    verdict: 'complete',
    reason: '',
    uretprobeReason: 'code not read',
  });
});

test('what is known at the entry needs no return', () => {
  assert.equal(describePlan(plan('53 5b c3', FREE)), '0 emulated');
  assert.equal(describePlan(plan('53 5b c3', { operation: 'shutdown', convention: 'n' })), '0 emulated');
});

test('the return probe that is asked for', () => {
  const covered = '53 31c0 5b c3';
  assert.equal(describePlan(plan(covered)), '0 emulated; 4 single-step');
  assert.equal(describePlan(plan(covered, READ, { returnProbe: 'sites' })), '0 emulated; 4 single-step');
  assert.equal(describePlan(plan(covered, READ, { returnProbe: 'uretprobe' })), '0 emulated; 0 uretprobe; asked for');
  const tail = '53 5b e900010000';
  assert.equal(describePlan(plan(tail)), '0 emulated; 0 uretprobe; tail call');
  const never = plan(tail, READ, { returnProbe: 'sites' });
  assert.equal(describePlan(never), 'tail call; returns cannot be covered');
  assert.equal(never.verdict, 'none');
});

test('without attach cookies nothing stands in one but the program that it is for', () => {
  for (const machine of ['x64', 'arm64'] as const) {
    for (const { symbol, code } of realFunctions(machine)) {
      const options = { returnProbe: 'auto', attachCookie: false } as const;
      const planned = planProbes({ machine, code }, symbol, signatureOf(symbol.name), options);
      for (const site of [...planned.entries, ...planned.returns]) assert.ok(site.cookie < 16n, describePlan(planned));
      assert.ok(planned.returns.every((site) => site.method === 'uretprobe'));
    }
  }
});

test('an entry site comes before the arguments change', () => {
  assert.equal(describePlan(plan('4831f6 53 31c0 5b c3')), '0 single-step; 7 single-step', 'the buffer');
  assert.equal(describePlan(plan('4831d2 53 31c0 5b c3')), '3 emulated; 7 single-step', 'the length is not needed');
  assert.equal(describePlan(plan('4831c9 53 31c0 5b c3', READ_EX)), '0 single-step; 7 single-step', 'count pointer');
  assert.equal(describePlan(plan('4989c8 31c9 53 31c0 5b c3', READ_EX)), '5 emulated register 8; 9 single-step');
  assert.equal(describePlan(plan('4189c8 31c9 53 31c0 5b c3', READ_EX)), '0 single-step; 9 single-step', 'half of it');
});

test('a call is no site: its emulation does not know the shadow stack', () => {
  assert.equal(describePlan(plan('4883ec08 e800010000 4883c408 c3')), '0 single-step; d single-step');
  assert.equal(
    describePlan(plan('fd7bbfa9 40000094 fd7bc1a8 c0035fd6', READ, {}, 'arm64')),
    '0 single-step; c emulated',
  );
});

test('nothing jumps back to an entry site', () => {
  assert.equal(
    describePlan(plan('85d2 78fc c3')),
    '0 single-step; 0 uretprobe; jump out of the function',
    'to its begin',
  );
  assert.equal(describePlan(plan('90 85d2 78fc c3')), '0 emulated; 5 single-step', 'behind the site');
  assert.equal(describePlan(plan('85d2 53 5b 85d2 78fa c3')), '0 single-step; 8 single-step', 'to the push');
});

test('a jump that is not followed: only a push is certain to be passed once', () => {
  assert.equal(describePlan(plan('4885d2 78 02 ffe0 c3')), '0 single-step; 0 uretprobe; indirect jump');
  assert.equal(describePlan(plan('f30f1efa 55 ffe0')), '4 emulated; 4 uretprobe; indirect jump');
  assert.equal(describePlan(plan('85d2 7e7f c3')), '0 single-step; 0 uretprobe; jump out of the function');
});

test('return sites: one on each way, with the result where the cookie says', () => {
  const stackCheck = '4883ec18 85d2 7803 31c0 90 7505 4883c418 c3 e8f0ffffff';
  assert.equal(describePlan(plan(stackCheck)), '6 emulated depth 24; b emulated depth 24');
  // mov ebx, eax; jmp; ... mov eax, ebx; ret
  const shared = '53 85d2 7804 89c3 eb04 89d3 eb00 89d8 5b c3';
  assert.equal(describePlan(plan(shared)), '0 emulated; 7 emulated depth 8 register 3; b emulated depth 8 register 3');
  const fallsThrough = '53 85d2 7804 89c3 eb02 89d3 89d8 5b c3';
  assert.equal(describePlan(plan(fallsThrough)), '0 emulated; e single-step');
});

test('return sites do not come before what the call still does', () => {
  assert.equal(describePlan(plan('53 31c0 eb00 488911 5b c3')), '0 emulated; 9 single-step', 'a store');
  assert.equal(describePlan(plan('53 31c0 eb00 e800010000 5b c3')), '0 emulated; b single-step', 'a call');
  assert.equal(describePlan(plan('53 31c0 eb00 ffc0 5b c3')), '0 emulated; 8 single-step', 'the result');
  assert.equal(describePlan(plan('53 31c0 7501 90 5b c3')), '0 emulated; 7 single-step', 'a branch with two ways on');
});

test('what is not understood is left to a uretprobe', () => {
  assert.equal(describePlan(plan('53 cc 5b c3')), '0 emulated; 0 uretprobe; code not understood');
  assert.equal(
    describePlan(plan('53 7801 b8909090 90 5b c3')),
    '0 emulated; 0 uretprobe; code not understood',
    'overlap',
  );
  assert.equal(describePlan(plan('53 c3')), '0 emulated; 0 uretprobe; stack pointer not followed');
  assert.equal(describePlan(plan('53 5b 0f0b')), '0 emulated; 0 uretprobe; no return');
  assert.equal(describePlan(plan('cc 5b c3')), 'function cannot be probed', 'a breakpoint');
  assert.equal(describePlan(plan('6690 53 5b c3')), 'function cannot be probed', 'older kernels refuse this nop');
});

test('a function without a size: only what no jump can change', () => {
  const code = Buffer.from('f30f1efa5531c05dc3', 'hex');
  assert.equal(
    describePlan(planProbes({ machine: 'x64', code }, symbolOf(0), READ)),
    '4 emulated; 4 uretprobe; function size unknown',
  );
});

test('a stack that is realigned is followed through the frame pointer', () => {
  // push rbp; mov rbp, rsp; and rsp, -16; xor eax, eax; jne; leave; ret; call
  const code = '55 4889e5 4883e4f0 31c0 7502 c9 c3 e8f0ffffff';
  assert.equal(describePlan(plan(code)), '0 emulated; d single-step');
});

test('frames deeper than a cookie can say are no sites', () => {
  const deep = '4881ecf87f0000 85d2 7801 90 31c0 7508 4881c4f87f0000 c3 e8f0ffffff';
  assert.equal(describePlan(plan(deep)), '9 emulated depth 32760; e emulated depth 32760');
  const deeper = '4881ec00800000 85d2 7801 90 31c0 7508 4881c400800000 c3 e8f0ffffff';
  assert.equal(describePlan(plan(deeper)), '0 single-step; 17 single-step');
});

test('long functions take no more than a bounded look', () => {
  const clc = Buffer.alloc(16_000, 0xf8);
  const long = planProbes({ machine: 'x64', code: Buffer.concat([clc, Buffer.from([0xc3])]) }, symbolOf(16_001), READ);
  assert.equal(describePlan(long), '0 single-step; 3e80 single-step');
  const tooLong = planProbes({ machine: 'x64', code: Buffer.alloc(20_000, 0xf8) }, symbolOf(20_000), READ);
  assert.equal(tooLong.uretprobeReason, 'code not read');
  // test edx, edx; js over a ret; ...
  const returns = Buffer.from(`${'85d27801c3'.repeat(100)}c3`, 'hex');
  const many = planProbes({ machine: 'x64', code: returns }, symbolOf(returns.length), READ);
  assert.equal(many.uretprobeReason, 'too many returns');
});

test('cookies carry the signature', () => {
  const [entry] = plan('53 31c0 5b c3', { operation: 'write', convention: 'ex' }).entries;
  assert.deepEqual(decodeCookie(entry!.cookie), {
    operation: 'write',
    convention: 'ex',
    uretprobe: false,
    register: 0,
    depthBytes: 0,
  });
});
