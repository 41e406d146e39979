// Prints where fields lie in the structures of the Go version that it is built with, as its own debug information says,
// and ends with 1 unless a live connection and a live goroutine agree.
package main

import (
	"bytes"
	"crypto/tls"
	"debug/dwarf"
	"debug/elf"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"unsafe"
)

func goroutine() uintptr

func main() {
	layout := fromDebugInformation()
	index := readIndex()
	layout["tableNetConnRead"] = layout["tableMethods"] + 8*index
	connections(layout)
	goroutines(layout)
	must(json.NewEncoder(os.Stdout).Encode(map[string]interface{}{"release": runtime.Version(), "layout": layout}))
}

func fail(format string, arguments ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", arguments...)
	os.Exit(1)
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

// Fields by their names, as Go 1.22 renamed those of the table of methods.
var fields = map[string][]string{
	"tlsConnConn":    {"crypto/tls.Conn conn"},
	"interfaceTable": {"runtime.iface tab"},
	"interfaceData":  {"runtime.iface data"},
	"tableType":      {"runtime.itab _type", "internal/abi.ITab Type"},
	"tableHash":      {"runtime.itab hash", "internal/abi.ITab Hash"},
	"tableMethods":   {"runtime.itab fun", "internal/abi.ITab Fun"},
	"gGoid":          {"runtime.g goid"},
}

// Fields of fields: their offsets add up.
var paths = map[string][]string{
	"tcpConnFd":  {"net.TCPConn conn", "net.conn fd"},
	"netFdSysfd": {"net.netFD pfd", "internal/poll.FD Sysfd"},
	"gStackLow":  {"runtime.g stack", "runtime.stack lo"},
	"gStackHigh": {"runtime.g stack", "runtime.stack hi"},
}

func fromDebugInformation() map[string]int64 {
	offsets := members()
	layout := map[string]int64{}
	for name, candidates := range fields {
		for _, candidate := range candidates {
			if offset, ok := offsets[candidate]; ok {
				layout[name] = offset
			}
		}
		if _, ok := layout[name]; !ok {
			fail("no debug information for %v", candidates)
		}
	}
	for name, path := range paths {
		for _, step := range path {
			offset, ok := offsets[step]
			if !ok {
				fail("no debug information for %s", step)
			}
			layout[name] += offset
		}
	}
	return layout
}

// "structure field" -> offset, of all structures.
func members() map[string]int64 {
	path, err := os.Executable()
	must(err)
	file, err := elf.Open(path)
	must(err)
	defer file.Close()
	data, err := file.DWARF()
	must(err)
	offsets := map[string]int64{}
	reader := data.Reader()
	structure := ""
	for {
		entry, err := reader.Next()
		must(err)
		if entry == nil {
			return offsets
		}
		name, _ := entry.Val(dwarf.AttrName).(string)
		switch entry.Tag {
		case dwarf.TagStructType:
			structure = name
		case dwarf.TagMember:
			if offset, ok := entry.Val(dwarf.AttrDataMemberLoc).(int64); ok {
				offsets[structure+" "+name] = offset
			}
		}
	}
}

// Of Read among the methods of net.Conn, which are sorted.
func readIndex() int64 {
	methods := reflect.TypeOf((*net.Conn)(nil)).Elem()
	for i := 0; i < methods.NumMethod(); i++ {
		if methods.Method(i).Name == "Read" {
			return int64(i)
		}
	}
	fail("net.Conn has no method Read")
	return 0
}

func word(address uintptr, offset int64) uintptr {
	return *(*uintptr)(unsafe.Pointer(address + uintptr(offset)))
}

// Goes from a TLS connection to its descriptor as a probe does.
func connections(layout map[string]int64) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	defer listener.Close()
	inner, err := net.Dial("tcp", listener.Addr().String())
	must(err)
	defer inner.Close()
	raw, err := inner.(*net.TCPConn).SyscallConn()
	must(err)
	wanted := 0
	must(raw.Control(func(fd uintptr) { wanted = int(fd) }))

	outer := tls.Client(inner, &tls.Config{InsecureSkipVerify: true})
	inside := uintptr(unsafe.Pointer(outer)) + uintptr(layout["tlsConnConn"])
	table := word(inside, layout["interfaceTable"])
	if name := runtime.FuncForPC(word(table, layout["tableNetConnRead"])).Name(); name != "net.(*TCPConn).Read" {
		fail("the method is %s", name)
	}
	connection := inner.(*net.TCPConn)
	if found := reflect.ValueOf(connection).Pointer(); word(inside, layout["interfaceData"]) != found {
		fail("the value of the interface is no pointer to the connection")
	}
	var empty interface{} = connection
	kind := *(*uintptr)(unsafe.Pointer(&empty))
	if word(table, layout["tableType"]) != kind {
		fail("the table has another type")
	}
	fd := word(word(inside, layout["interfaceData"]), layout["tcpConnFd"])
	if found := *(*int)(unsafe.Pointer(fd + uintptr(layout["netFdSysfd"]))); found != wanted {
		fail("the descriptor is %d, not %d", found, wanted)
	}
	runtime.KeepAlive(outer)
}

func goroutines(layout map[string]int64) {
	done := make(chan bool)
	go func() {
		text := make([]byte, 64)
		text = text[:runtime.Stack(text, false)]
		var number uintptr
		_, err := fmt.Fscanf(bytes.NewReader(text), "goroutine %d ", &number)
		must(err)
		g := goroutine()
		if found := word(g, layout["gGoid"]); found != number {
			fail("the goroutine is %d, not %d", found, number)
		}
		var local byte
		here := uintptr(unsafe.Pointer(&local))
		if low, high := word(g, layout["gStackLow"]), word(g, layout["gStackHigh"]); here < low || here >= high {
			fail("the stack is elsewhere")
		}
		done <- true
	}()
	<-done
}
