package policy

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/blindbox/blindbox/internal/strictyaml"
	"github.com/blindbox/blindbox/policy/schema"
)

var update = flag.Bool("update", false, "rewrite the JSON Schema, the reference and the golden files")

// golden compares with a file, or rewrites it.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the table says (%v): go test ./policy -update", file, err)
	}
}

// ordered is a JSON object whose members keep their order.
type ordered []member

type member struct {
	name  string
	value any
}

func (o ordered) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name)
		var value bytes.Buffer
		e := json.NewEncoder(&value)
		e.SetEscapeHTML(false)
		if err := e.Encode(m.value); err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(bytes.TrimSpace(value.Bytes()))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// generator makes the schema from the types of document.go.
type generator struct{ forms map[string]form }

func (g *generator) object(t reflect.Type) ordered {
	properties, required, rules := ordered{}, []string{}, ordered{}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == reflect.TypeFor[strictyaml.Pos]() {
			rules = g.together(f.Tag)
			continue
		}
		if strings.HasSuffix(f.Tag.Get("yaml"), ",required") {
			required = append(required, keyOf(f))
		}
		properties = append(properties, member{keyOf(f), g.described(f)})
	}
	out := ordered{{"type", "object"}, {"additionalProperties", false}, {"minProperties", 1}}
	if len(required) > 0 {
		out = append(out, member{"required", required})
	}
	return append(append(out, rules...), member{"properties", properties})
}

func (g *generator) together(tag reflect.StructTag) ordered {
	alone := func(keys []string) []ordered {
		var out []ordered
		for _, k := range keys {
			var any []ordered
			for _, one := range strings.Split(k, "|") {
				any = append(any, ordered{{"required", []string{one}}})
			}
			if len(any) == 1 {
				out = append(out, any[0])
				continue
			}
			out = append(out, ordered{{"anyOf", any}})
		}
		return out
	}
	if keys := strings.Fields(tag.Get("one")); len(keys) > 0 {
		return ordered{{"oneOf", alone(keys)}}
	}
	if keys := strings.Fields(tag.Get("atmost")); len(keys) > 0 {
		return ordered{{"not", ordered{{"required", keys}}}}
	}
	return nil
}

func (g *generator) described(f reflect.StructField) ordered {
	return append(ordered{{"description", f.Tag.Get("doc")}}, g.value(f.Type, f.Tag)...)
}

func (g *generator) value(t reflect.Type, tag reflect.StructTag) ordered {
	switch {
	case t.Kind() == reflect.Pointer:
		return g.object(t.Elem())
	case t.Kind() == reflect.Slice:
		items := g.leaf
		if _, plain := g.forms[tag.Get("form")]; !plain {
			items = func(t reflect.Type, _ string) ordered { return g.object(t) }
		}
		element := t.Elem()
		if element == reflect.TypeFor[text]() {
			element = reflect.TypeFor[string]()
		}
		out := ordered{{"type", "array"}, {"minItems", 1}}
		if tag.Get("form") != "argument" {
			out = append(out, member{"uniqueItems", true})
		}
		return append(out, member{"items", items(element, tag.Get("form"))})
	case t.Kind() == reflect.Map:
		return ordered{
			{"type", "object"}, {"minProperties", 1}, {"propertyNames", g.leaf(reflect.TypeFor[string](), tag.Get("keys"))},
			{"additionalProperties", g.leaf(reflect.TypeFor[string](), tag.Get("form"))},
		}
	case t == reflect.TypeFor[strictyaml.Block]():
		return ordered{{"type", "string"}}
	}
	value, _ := t.FieldByName("Value")
	if value.Type.Kind() == reflect.Pointer {
		other := value.Type.Elem()
		if other.Kind() == reflect.Slice {
			return ordered{{"oneOf", []ordered{{{"const", "none"}}, g.value(other, tag)}}}
		}
		return ordered{{"oneOf", []ordered{{{"const", "none"}}, g.object(other)}}}
	}
	return g.leaf(value.Type, tag.Get("form"))
}

func (g *generator) leaf(t reflect.Type, name string) ordered {
	f := g.forms[name]
	switch {
	case t.Kind() == reflect.Bool:
		return ordered{{"type", "boolean"}}
	case t == reflect.TypeFor[time.Duration]():
		return ordered{{"type", "string"}, {"pattern", `^([0-9]+(\.[0-9]+)?(h|m|s|ms))+$`}}
	case t.Kind() == reflect.Int:
		return ordered{{"type", "integer"}, {"minimum", f.min}, {"maximum", f.max}}
	case f.words != nil:
		return ordered{{"enum", f.words}}
	}
	out := ordered{{"type", "string"}}
	if f.number {
		out = ordered{{"type", []string{"string", "number"}}}
	}
	return append(out, member{"pattern", f.pattern.String()})
}

// TestSchema writes the schema, or compares it with what is embedded.
func TestSchema(t *testing.T) {
	g := generator{forms()}
	head := ordered{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", "https://raw.githubusercontent.com/blindbox/blindbox/main/policy/schema/box.v1.json"},
		{"title", "box.yaml, version 1"},
		{"description", "The policy of a box: what runs in it, who may call it and do what, where it may connect to. What is not allowed is denied."},
	}
	out, err := json.MarshalIndent(append(head, g.object(reflect.TypeFor[document]())...), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	// MarshalIndent escapes for HTML what is no HTML here.
	out = append([]byte(strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(out))), '\n')
	golden(t, "schema/box.v1.json", out)
	if !*update && !bytes.Equal(schema.V1(), out) {
		t.Error("the schema that is embedded is another one")
	}
}

// TestForms: every tag names a row, every row is named, and every row says what
// it expects.
func TestForms(t *testing.T) {
	used := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for i := range typ.NumField() {
			f := typ.Field(i)
			for _, tag := range []string{"form", "keys"} {
				if name := f.Tag.Get(tag); name != "" {
					used[name] = true
				}
			}
			if f.Type != reflect.TypeFor[strictyaml.Pos]() && f.Tag.Get("doc") == "" {
				t.Errorf("%s.%s has no doc", typ.Name(), f.Name)
			}
			switch inner := f.Type; {
			case inner.Kind() == reflect.Pointer, inner.Kind() == reflect.Slice && inner.Elem() != reflect.TypeFor[text]():
				walk(inner.Elem())
			case strings.HasPrefix(inner.Name(), "OrNone"):
				v, _ := inner.FieldByName("Value")
				if inner = v.Type.Elem(); inner.Kind() == reflect.Slice {
					inner = inner.Elem()
				}
				walk(inner)
			}
		}
	}
	walk(reflect.TypeFor[document]())
	for name, f := range forms() {
		if !used[name] {
			t.Errorf("no tag names the form %q", name)
		}
		if f.words == nil && f.pattern == nil && f.max == 0 || f.pattern != nil && f.expected == "" {
			t.Errorf("the form %q says too little", name)
		}
		delete(used, name)
	}
	for name := range used {
		t.Errorf("there is no form %q", name)
	}
}

// validate is as much of a JSON Schema validator as the schema needs. It is an
// independent reader: what it accepts and the parser refuses, and the other way
// round, are compared in TestSchemaAgrees.
func validate(s map[string]any, v any) bool {
	if one, ok := s["oneOf"].([]any); ok {
		n := 0
		for _, alternative := range one {
			if validate(alternative.(map[string]any), v) {
				n++
			}
		}
		if n != 1 {
			return false
		}
	}
	if some, ok := s["anyOf"].([]any); ok && !slices.ContainsFunc(some, func(one any) bool { return validate(one.(map[string]any), v) }) {
		return false
	}
	if not, ok := s["not"].(map[string]any); ok && validate(not, v) {
		return false
	}
	if c, ok := s["const"]; ok && c != v {
		return false
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		return false
	}
	return validateType(s, v) && validateObject(s, v) && validateValue(s, v)
}

func validateType(s map[string]any, v any) bool {
	var types []string
	switch t := s["type"].(type) {
	case nil:
		return true
	case string:
		types = []string{t}
	case []any:
		for _, one := range t {
			types = append(types, one.(string))
		}
	}
	for _, t := range types {
		switch v.(type) {
		case map[string]any:
			if t == "object" {
				return true
			}
		case []any:
			if t == "array" {
				return true
			}
		case string, time.Time:
			if t == "string" {
				return true
			}
		case int:
			if t == "integer" || t == "number" {
				return true
			}
		case float64:
			if t == "number" {
				return true
			}
		case bool:
			if t == "boolean" {
				return true
			}
		}
	}
	return false
}

func validateObject(s map[string]any, v any) bool {
	o, ok := v.(map[string]any)
	if !ok {
		return true
	}
	if required, ok := s["required"].([]any); ok {
		for _, r := range required {
			if _, there := o[r.(string)]; !there {
				return false
			}
		}
	}
	if n, ok := s["minProperties"].(float64); ok && len(o) < int(n) {
		return false
	}
	properties, _ := s["properties"].(map[string]any)
	for name, value := range o {
		if names, ok := s["propertyNames"].(map[string]any); ok && !validate(names, name) {
			return false
		}
		if p, known := properties[name].(map[string]any); known {
			if !validate(p, value) {
				return false
			}
		} else if rest, ok := s["additionalProperties"].(map[string]any); ok && !validate(rest, value) || s["additionalProperties"] == false {
			return false
		}
	}
	return true
}

func validateValue(s map[string]any, v any) bool {
	switch v := v.(type) {
	case []any:
		if n, ok := s["minItems"].(float64); ok && len(v) < int(n) {
			return false
		}
		for i, item := range v {
			if items, ok := s["items"].(map[string]any); ok && !validate(items, item) {
				return false
			}
			if s["uniqueItems"] == true && slices.ContainsFunc(v[:i], func(other any) bool { return reflect.DeepEqual(other, item) }) {
				return false
			}
		}
	case string:
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			return false
		}
	case int:
		low, hasLow := s["minimum"].(float64)
		high, hasHigh := s["maximum"].(float64)
		return !(hasLow && float64(v) < low || hasHigh && float64(v) > high)
	}
	return true
}

// TestSchemaAgrees: the schema accepts every document that the parser accepts,
// and refuses those that the parser refuses for the form of a single value.
func TestSchemaAgrees(t *testing.T) {
	var s map[string]any
	if err := json.Unmarshal(schema.V1(), &s); err != nil {
		t.Fatal(err)
	}
	accepts := func(doc string) bool {
		var v any
		return yaml.Unmarshal([]byte(doc), &v) == nil && validate(s, v)
	}
	for _, doc := range []string{full, models, whole, image, composed, head, head + "egress: none\noperators: none\nlogs: none\n", cedarHeadWithOther + "  forbid(principal, action, resource);\n"} {
		if _, err := Parse([]byte(doc)); err != nil || !accepts(doc) {
			t.Errorf("parser: %v, schema: %t\n%s", err, accepts(doc), doc)
		}
	}
	caught := 0
	for _, c := range refused {
		if !accepts(c.doc) {
			caught++
		}
	}
	if caught*5 < len(refused)*2 {
		t.Errorf("the schema refuses only %d of the %d documents that the parser refuses", caught, len(refused))
	}
	for _, name := range []string{"version", "bad name", "unknown key", "both", "neither", "no listen", "isolation", "capability", "method", "egress all", "egress without port", "egress port 0", "operators", "platform", "sealed to ssh", "cpu in words", "rate", "two subjects", "expires elsewhere"} {
		for _, c := range refused {
			if c.name == name && accepts(c.doc) {
				t.Errorf("the schema accepts %q", name)
			}
		}
	}
}

// TestReference writes docs/policy.md from the table, between two marks.
func TestReference(t *testing.T) {
	const file, begin, end = "../docs/policy.md", "<!-- reference: made by go test ./policy -update -->\n", "<!-- end of reference -->\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no marks", file)
	}
	golden(t, file, []byte(before+begin+reference()+end+after))
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	for _, b := range blocks {
		if _, err := Parse([]byte(b[1])); err != nil {
			t.Errorf("%s shows a document that is refused: %v", file, err)
		}
	}
	if len(blocks) == 0 {
		t.Errorf("%s shows no document", file)
	}
}

func reference() string {
	r := referee{forms: forms()}
	r.section("", reflect.TypeFor[document]())
	return r.String()
}

type referee struct {
	strings.Builder
	forms map[string]form
}

func (r *referee) section(path string, t reflect.Type) {
	title := "The document"
	if path != "" {
		title = "`" + path + "`"
	}
	fmt.Fprintf(r, "\n### %s\n\n", title)
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == reflect.TypeFor[strictyaml.Pos]() {
			r.together(f.Tag)
		}
	}
	fmt.Fprint(r, "| key | value | meaning |\n|---|---|---|\n")
	var below []reflect.StructField
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == reflect.TypeFor[strictyaml.Pos]() {
			continue
		}
		required := ""
		if strings.HasSuffix(f.Tag.Get("yaml"), ",required") {
			required = " (required)"
		}
		value, nested := r.kind(f)
		if nested != nil {
			below = append(below, f)
		}
		fmt.Fprintf(r, "| `%s`%s | %s | %s |\n", keyOf(f), required, value, cell(f.Tag.Get("doc")))
	}
	for _, f := range below {
		_, nested := r.kind(f)
		mark := ""
		if f.Type.Kind() == reflect.Slice || strings.HasPrefix(f.Type.Name(), "OrNone[[]") {
			mark = "[]"
		}
		r.section(join(path, keyOf(f))+mark, nested)
	}
}

func (r *referee) together(tag reflect.StructTag) {
	quoted := func(keys string) string {
		return strings.ReplaceAll("`"+strings.Join(strings.Fields(keys), "`, `")+"`", "|", "` and `")
	}
	if keys := tag.Get("one"); keys != "" {
		fmt.Fprintf(r, "Exactly one of %s.\n\n", quoted(keys))
	}
	if keys := tag.Get("atmost"); keys != "" {
		fmt.Fprintf(r, "At most one of %s.\n\n", quoted(keys))
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// kind says what a value looks like, and of which type its own keys are.
func (r *referee) kind(f reflect.StructField) (string, reflect.Type) {
	one := r.form(f.Tag.Get("form"))
	switch t := f.Type; {
	case t.Kind() == reflect.Pointer:
		return "a mapping, see below", t.Elem()
	case t.Kind() == reflect.Slice && t.Elem() == reflect.TypeFor[text]():
		return "a list, each " + one, nil
	case t.Kind() == reflect.Slice:
		return "a list of mappings, see below", t.Elem()
	case t.Kind() == reflect.Map:
		return "a mapping: " + r.form(f.Tag.Get("keys")) + " to " + one, nil
	case t == reflect.TypeFor[strictyaml.Block]():
		return "a literal block (`\\|`)", nil
	case t == reflect.TypeFor[strictyaml.At[bool]]():
		return "`true` or `false`", nil
	case strings.HasPrefix(t.Name(), "OrNone"):
		v, _ := t.FieldByName("Value")
		if inner := v.Type.Elem(); inner.Kind() == reflect.Slice {
			return "`none` or a list of mappings, see below", inner.Elem()
		}
		return "`none` or a mapping, see below", v.Type.Elem()
	case t == reflect.TypeFor[strictyaml.At[time.Duration]]():
		row := r.forms[f.Tag.Get("form")]
		return fmt.Sprintf("a duration from %s to %s", time.Duration(row.min), time.Duration(row.max)), nil
	}
	return one, nil
}

func (r *referee) form(name string) string {
	f, ok := r.forms[name]
	switch {
	case !ok:
		return ""
	case f.expected != "":
		return cell(f.expected)
	case f.words != nil:
		return "`" + strings.Join(f.words, "`, `") + "`"
	}
	return strconv.FormatInt(f.min, 10) + " to " + strconv.FormatInt(f.max, 10)
}
