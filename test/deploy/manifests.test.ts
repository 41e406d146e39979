import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Ajv } from 'ajv';
import { load } from 'js-yaml';
import { OPTION_NAMES, OPTIONS } from '../../src/config.ts';
import { fromRoot } from '../../src/root.ts';
import { chart, defaultValues, kustomize, type Manifests, type Values } from './render.ts';

interface Container {
  readonly securityContext: {
    readonly privileged: boolean;
    readonly allowPrivilegeEscalation: boolean;
    readonly readOnlyRootFilesystem: boolean;
    readonly seLinuxOptions?: unknown;
    readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
  };
  readonly resources: unknown;
  readonly volumeMounts: readonly { readonly mountPath: string; readonly readOnly: boolean }[];
}

function container(manifests: Manifests): Container {
  const { spec } = manifests.get('DaemonSet plainsight') as unknown as {
    spec: { template: { spec: { hostPID: boolean; containers: readonly Container[] } } };
  };
  assert.equal(spec.template.spec.hostPID, true);
  assert.equal(spec.template.spec.containers.length, 1);
  return spec.template.spec.containers[0]!;
}

/** The flags of a ConfigMap are text in it: compared as what they say. */
function withFlags(manifests: Manifests): unknown[] {
  return [...manifests.values()]
    .map((manifest) => {
      const { data } = manifest as { data?: Record<string, string> };
      return data ? { ...manifest, data: load(data['plainsight.yaml']!) } : manifest;
    })
    .sort((a, b) => `${a.kind} ${a.metadata.name}`.localeCompare(`${b.kind} ${b.metadata.name}`));
}

const LEAST = ['BPF', 'PERFMON', 'SYS_PTRACE', 'DAC_READ_SEARCH'];

test('the base asks for the least: no privileges, four capabilities, nothing it can write to', async () => {
  const { securityContext, resources, volumeMounts } = container(await kustomize('base'));
  assert.equal(securityContext.privileged, false);
  assert.equal(securityContext.allowPrivilegeEscalation, false);
  assert.equal(securityContext.readOnlyRootFilesystem, true);
  assert.deepEqual(securityContext.capabilities, { add: LEAST, drop: ['ALL'] });
  assert.deepEqual(resources, { requests: { cpu: '50m', memory: '80Mi' }, limits: { cpu: '500m', memory: '200Mi' } });
  assert.ok(volumeMounts.every(({ readOnly }) => readOnly));
});

test('the account may list and watch what is read, and nothing else', async () => {
  const role = (await kustomize('base')).get('ClusterRole plainsight') as unknown as {
    rules: readonly { resources: readonly string[]; verbs: readonly string[] }[];
  };
  assert.deepEqual(role.rules.flatMap(({ resources }) => resources).sort(), [
    ...['endpointslices', 'namespaces', 'nodes', 'pods', 'services'],
  ]);
  assert.ok(role.rules.every(({ verbs }) => verbs.every((verb) => verb === 'list' || verb === 'watch')));
});

test('overlays add what their kernels and distributions need, and change nothing else', async () => {
  const base = container(await kustomize('base'));
  const expected: Readonly<Record<string, { capabilities?: string[]; seLinux?: string; kinds?: string[] }>> = {
    'linux-5.11-to-6.5': { capabilities: ['SYS_ADMIN'] },
    'linux-below-5.11': { capabilities: ['SYS_ADMIN', 'SYS_RESOURCE'] },
    openshift: { kinds: ['SecurityContextConstraints plainsight'] },
    'gke-cos': { kinds: ['PodMonitoring plainsight'] },
    bottlerocket: { seLinux: 'super_t' },
    talos: {},
    k3s: {},
  };
  assert.deepEqual(readdirSync(fromRoot('deploy/kustomize/overlays')).sort(), Object.keys(expected).sort());
  const kinds = [...(await kustomize('base')).keys()].sort();
  for (const [name, { capabilities = [], seLinux, kinds: more = [] }] of Object.entries(expected)) {
    const manifests = await kustomize(`overlays/${name}`);
    const { securityContext, ...rest } = container(manifests);
    assert.deepEqual([...manifests.keys()].sort(), [...kinds, ...more].sort(), name);
    assert.deepEqual(securityContext.capabilities, { add: [...LEAST, ...capabilities], drop: ['ALL'] }, name);
    assert.equal((securityContext.seLinuxOptions as { type: string } | undefined)?.type, seLinux, name);
    assert.deepEqual({ ...rest, securityContext: base.securityContext }, base, name);
  }
});

test('OpenShift allows exactly what the DaemonSet asks for', async () => {
  const manifests = await kustomize('overlays/openshift');
  const constraints = manifests.get('SecurityContextConstraints plainsight') as unknown as {
    allowedCapabilities: readonly string[];
    users: readonly string[];
    allowPrivilegedContainer: boolean;
  };
  assert.deepEqual(constraints.allowedCapabilities, container(manifests).securityContext.capabilities.add);
  assert.deepEqual(constraints.users, ['system:serviceaccount:plainsight:plainsight']);
  assert.equal(constraints.allowPrivilegedContainer, false);
});

test('the chart is the kustomize base', async () => {
  assert.deepEqual(withFlags(await chart()), withFlags(await kustomize('base')));
});

test('values of the chart reach the manifests', async () => {
  const manifests = await chart({
    extraCapabilities: ['SYS_ADMIN'],
    seLinuxOptions: { type: 'super_t' },
    namespace: { create: false },
    networkPolicy: { enabled: false },
    podMonitor: { enabled: true, interval: '30s' },
    imagePullSecrets: [{ name: 'key' }],
    config: { listen: '0.0.0.0:9090', 'proc-root': '/host/proc', 'include-namespace': ['shop'] },
  });
  const { securityContext } = container(manifests);
  assert.deepEqual(securityContext.capabilities.add, [...LEAST, 'SYS_ADMIN']);
  assert.deepEqual(securityContext.seLinuxOptions, { type: 'super_t' });
  assert.ok(!manifests.has('Namespace plainsight') && !manifests.has('NetworkPolicy plainsight'));
  assert.ok(manifests.has('PodMonitor plainsight'));
  const config = manifests.get('ConfigMap plainsight') as unknown as { data: { 'plainsight.yaml': string } };
  assert.deepEqual(load(config.data['plainsight.yaml']), {
    listen: '0.0.0.0:9090',
    'proc-root': '/host/proc',
    'include-namespace': ['shop'],
  });
});

test("the chart's schema knows each of its values, and no others", () => {
  const schema = JSON.parse(readFileSync(fromRoot('deploy/chart/plainsight/values.schema.json'), 'utf8')) as {
    properties: Record<string, unknown>;
    additionalProperties: boolean;
  };
  assert.equal(schema.additionalProperties, false);
  const known = Object.keys(schema.properties).filter((name) => name !== 'global');
  assert.deepEqual(known.sort(), Object.keys(defaultValues()).sort());
});

test("the chart's schema refuses values that would not work, and names them", () => {
  const schema = JSON.parse(readFileSync(fromRoot('deploy/chart/plainsight/values.schema.json'), 'utf8'));
  const validate = new Ajv({ allErrors: true }).compile(schema);
  assert.ok(validate(defaultValues()), JSON.stringify(validate.errors));
  const flags = OPTION_NAMES.map((name) => OPTIONS[name].flag);
  assert.deepEqual(schema.properties.config.propertyNames.enum, flags);
  const { config, image } = defaultValues() as Record<string, object>;
  const broken: readonly (readonly [values: Values, place: RegExp])[] = [
    [{ imgae: image }, /"imgae"/],
    [{ image: { ...image, tag: 0.1 } }, /\/image\/tag/],
    [{ image: { repository: 'plainsight' } }, /\/image.*"tag"/],
    [{ config: { ...config, 'ring-sice': '1MiB' } }, /\/config.*"ring-sice"/],
    [{ config: { ...config, listen: { port: 9090 } } }, /\/config\/listen/],
    [{ config: 'listen: 0.0.0.0:9090' }, /\/config/],
    [{ extraCapabilities: ['NET_ADMIN'] }, /\/extraCapabilities\/0/],
    [{ podMonitor: { enabled: 'yes' } }, /\/podMonitor\/enabled/],
    [{ priorityClass: { create: true } }, /\/priorityClass.*"name"/],
    [{ tolerations: { operator: 'Exists' } }, /\/tolerations/],
  ];
  for (const [values, place] of broken) {
    assert.equal(validate({ ...defaultValues(), ...values }), false, JSON.stringify(values));
    assert.match(JSON.stringify(validate.errors), place);
  }
});
