// Renders a chart's templates with Go's own template engine and the few functions of Helm that the chart uses.
// Reads {"values": {...}, "release": "name", "templates": {"file": "text"}} and writes {"file": "rendered text"}.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type input struct {
	Values    map[string]any
	Release   string
	Templates map[string]string
}

func main() {
	var in input
	decoder := json.NewDecoder(os.Stdin)
	decoder.UseNumber() // a port stays 8300 and does not become 8300.0
	check(decoder.Decode(&in))
	in.Values = numbers(in.Values).(map[string]any)
	root := template.New("chart").Option("missingkey=error")
	root.Funcs(template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var out strings.Builder
			err := root.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"nindent": func(n int, text string) string {
			pad := "\n" + strings.Repeat(" ", n)
			return pad + strings.ReplaceAll(text, "\n", pad)
		},
		"toYaml": func(value any) (string, error) { // as lines "key: JSON", which are YAML
			var lines []string
			switch it := value.(type) {
			case map[string]any:
				for key, inner := range it {
					text, err := json.Marshal(inner)
					if err != nil {
						return "", err
					}
					lines = append(lines, fmt.Sprintf("%q: %s", key, text))
				}
			case []any:
				for _, inner := range it {
					text, err := json.Marshal(inner)
					if err != nil {
						return "", err
					}
					lines = append(lines, "- "+string(text))
				}
			}
			return strings.Join(lines, "\n"), nil
		},
		"quote": func(value any) string { return fmt.Sprintf("%q", fmt.Sprint(value)) },
		"list":  func(values ...any) []any { return values },
		"default": func(other, given any) any {
			if given == nil || given == "" {
				return other
			}
			return given
		},
		"required": func(message string, value any) (any, error) {
			if value == nil || value == "" {
				return nil, fmt.Errorf("%s", message)
			}
			return value, nil
		},
	})
	for name, text := range in.Templates {
		_, err := root.New(name).Parse(text)
		check(err)
	}
	data := map[string]any{"Values": in.Values, "Release": map[string]any{"Name": in.Release}}
	rendered := map[string]string{}
	for name := range in.Templates {
		if strings.HasSuffix(name, ".yaml") {
			var out strings.Builder
			check(root.ExecuteTemplate(&out, name, data))
			rendered[name] = out.String()
		}
	}
	check(json.NewEncoder(os.Stdout).Encode(rendered))
}

func numbers(value any) any {
	switch it := value.(type) {
	case map[string]any:
		for key, inner := range it {
			it[key] = numbers(inner)
		}
	case []any:
		for at, inner := range it {
			it[at] = numbers(inner)
		}
	case json.Number:
		whole, err := it.Int64()
		check(err)
		return whole
	}
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
