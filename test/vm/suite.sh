# What runs in a guest of the matrix, with /plainsight as its working directory; everything it finds out goes to /results.
# STATS_ONLY=yes: the verifier's figures and nothing else. TESTS: files of test/kernel/. TESTS_ONLY=yes: no figures, as no
# program is expected to load. Exit status: that of the tests, 1 when the agent did not start or did not end as it
# should. Programs that the verifier refused are counted by the host, which reads the figures.
# shellcheck shell=bash
bin/plainsight doctor --json >/results/doctor.json 2>/results/doctor.log
echo $? >/results/doctor-exit

run_tests() {
	local files
	read -ra files <<<"$TESTS"
	files=("${files[@]/#/build/test/kernel/}")
	NODE_OPTIONS='' node --test --test-concurrency=1 --test-timeout="$TEST_TIMEOUT_MS" \
		--test-reporter=spec --test-reporter-destination=stdout \
		--test-reporter=tap --test-reporter-destination=/results/tests.tap "${files[@]/%/.test.js}"
}
if [[ ${TESTS_ONLY-} == yes ]]; then
	run_tests
	exit
fi

python3 test/vm/bpf-stats.py build/bpf/*/*.bpf.o >/results/bpf-stats.jsonl || [[ -s /results/bpf-stats.jsonl ]] || exit 1
[[ ${STATS_ONLY-} == yes ]] && exit 0

status=0
# The agent as it is started without any option. Its own port tells when it is ready.
bin/plainsight run --listen 127.0.0.1:9090 >/results/agent.log 2>&1 &
agent=$!
for ((i = 0; i < 300; i++)); do
	curl --silent --fail --output /dev/null http://127.0.0.1:9090/readyz && break
	kill -0 $agent 2>/dev/null || break
	sleep 0.2
done
for path in metrics api/status; do
	curl --silent --fail --output "/results/${path##*/}" "http://127.0.0.1:9090/$path" || status=1
done
kill -TERM $agent 2>/dev/null
wait $agent
agent_exit=$?
echo $agent_exit >/results/agent-exit
((agent_exit == 0)) || status=1

run_tests || status=1
bpftool prog show --json >/results/programs-left.json 2>/dev/null
exit $status
