/*
 * Every type of bpf/events.h once, so that its BTF holds them all: in the objects themselves clang keeps only types that
 * a map, a variable or a function's signature names. tools/build-bpf.sh compiles this with the flags of bpf/; it is read
 * by tools/abi/generate.ts and never loaded.
 */
#include "../../bpf/events.h"

struct event_header event_header;
struct open_event open_event;
struct data_event data_event;
struct piece piece;
struct end_event end_event;
struct close_event close_event;
struct bound_event bound_event;
struct process_event process_event;
struct tls_process tls_process;
struct cgroup_event cgroup_event;
struct settings settings;
struct owner owner;
struct flow_key flow_key;
struct flow flow;
struct tcp_tuple tcp_tuple;
struct tcp_endpoint tcp_endpoint;
struct tcp_process tcp_process;
struct tcp_scan tcp_scan;

enum event_kind event_kind;
enum direction direction;
enum source source;
enum scope scope;
enum counter counter;
enum role role;
enum failure failure;
enum held held;
