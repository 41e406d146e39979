// Renders the templates of a Helm chart as Helm does, by Go's own text/template: render CHART VALUES.json NAMESPACE, one
// document after the other on stdout. Of Helm's functions it has those that the chart uses; JSON is YAML, so toYaml
// prints JSON. VALUES.json are the values with the installation's own put over them.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	chart, values, namespace := os.Args[1], os.Args[2], os.Args[3]
	text, err := os.ReadFile(values)
	fail(err)
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	// A float64 would print 1000000 as 1e+06, which Helm's own numbers do not.
	decoder.UseNumber()
	var given any
	fail(decoder.Decode(&given))
	functions := template.FuncMap{
		"toYaml": func(value any) string {
			printed, err := json.Marshal(value)
			fail(err)
			return string(printed)
		},
		"nindent": func(spaces int, text string) string {
			pad := strings.Repeat(" ", spaces)
			return "\n" + pad + strings.ReplaceAll(text, "\n", "\n"+pad)
		},
	}
	files, err := filepath.Glob(filepath.Join(chart, "templates", "*.yaml"))
	fail(err)
	sort.Strings(files)
	for _, file := range files {
		source, err := os.ReadFile(file)
		fail(err)
		parsed, err := template.New(filepath.Base(file)).Option("missingkey=error").Funcs(functions).Parse(string(source))
		fail(err)
		fmt.Println("---")
		fail(parsed.Execute(os.Stdout, map[string]any{
			"Values":  given,
			"Release": map[string]any{"Name": "plainsight", "Namespace": namespace},
		}))
		fmt.Println()
	}
}
