package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder puts a tree whose shape was checked into Go values.
type decoder struct {
	src  *source
	errs Errors
}

func (d *decoder) mismatch(n *yaml.Node, path, expected string) {
	d.errs.Add(place(n), path, "", describe(n), expected)
}

// describe says what a node is in words that stand behind "seen".
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) == 0:
		return "nothing" // what stands for the rest of a bare word
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!int" || n.Tag == "!!float":
		return "the number " + n.Value
	case n.Tag == "!!bool":
		return "the truth value " + n.Value
	case n.Tag == "!!timestamp":
		return "the date " + n.Value
	default:
		return Quote(n.Value)
	}
}

func (d *decoder) value(n *yaml.Node, out reflect.Value, path string) {
	switch v := out.Addr().Interface().(type) {
	case placed:
		d.value(n, v.place(place(n)), path)
		return
	case orNone:
		d.orNone(n, v, path)
		return
	case choice:
		d.choice(n, v, path)
		return
	case *Words:
		d.words(n, v, path)
		return
	case *Block:
		d.block(n, v, path)
		return
	case *time.Duration:
		d.duration(n, v, path)
		return
	case encoding.TextUnmarshaler:
		d.text(n, v, path)
		return
	}
	switch out.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(out.Type().Elem()))
		d.value(n, out.Elem(), path)
	case reflect.Struct:
		d.structure(n, out, path)
	case reflect.Map:
		d.mapping(n, out, path)
	case reflect.Slice:
		d.list(n, out, path)
	case reflect.String:
		d.str(n, out, path)
	case reflect.Bool:
		d.boolean(n, out, path)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		d.integer(n, out, path)
	default:
		d.mismatch(n, path, fmt.Sprintf("nothing: no way to read a %s", out.Type()))
	}
}

// field is a key of a struct.
type field struct {
	name     string
	index    int
	required bool
}

// fieldsOf lists the keys a struct knows, and the fields that want its place.
func fieldsOf(t reflect.Type) (keys []field, places []int) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == reflect.TypeFor[Pos]() {
			places = append(places, i)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		required := slices.Contains(strings.Split(options, ","), "required")
		keys = append(keys, field{name, i, required})
	}
	return keys, places
}

func (d *decoder) structure(n *yaml.Node, out reflect.Value, path string) {
	keys, places := fieldsOf(out.Type())
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, path, "a mapping with the keys "+strings.Join(names, ", "))
		return
	}
	for _, i := range places {
		if out.Field(i).CanSet() {
			out.Field(i).Set(reflect.ValueOf(place(n)))
		}
	}
	seen := make(map[string]bool, len(keys))
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		known := slices.IndexFunc(keys, func(k field) bool { return k.name == key.Value })
		if known < 0 {
			d.unknownKey(key, names, path)
			continue
		}
		seen[key.Value] = true
		d.value(value, out.Field(keys[known].index), join(path, key.Value))
	}
	for _, k := range keys {
		if k.required && !seen[k.name] {
			d.errs.Add(place(n), join(path, k.name), "missing", "", "")
		}
	}
}

func (d *decoder) unknownKey(key *yaml.Node, names []string, path string) {
	d.errs.add(&Error{
		Line: key.Line, Column: key.Column, Path: path,
		Problem:  "unknown key " + Quote(key.Value),
		Expected: "one of " + strings.Join(names, ", "),
		Unknown:  key.Value,
		Nearest:  Nearest(key.Value, names),
	})
}

func (d *decoder) mapping(n *yaml.Node, out reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, path, "a mapping")
		return
	}
	m := reflect.MakeMapWithSize(out.Type(), len(n.Content)/2)
	for i := 0; i < len(n.Content); i += 2 {
		at := join(path, n.Content[i].Value)
		key := reflect.New(out.Type().Key()).Elem()
		value := reflect.New(out.Type().Elem()).Elem()
		d.value(n.Content[i], key, at)
		d.value(n.Content[i+1], value, at)
		m.SetMapIndex(key, value)
	}
	out.Set(m)
}

func (d *decoder) list(n *yaml.Node, out reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.mismatch(n, path, "a list")
		return
	}
	list := reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, list.Index(i), path+"["+strconv.Itoa(i)+"]")
	}
	out.Set(list)
}

func (d *decoder) str(n *yaml.Node, out reflect.Value, path string) {
	switch {
	case n.Kind != yaml.ScalarNode:
		d.mismatch(n, path, "a string")
	case !isString(n):
		d.mismatch(n, path, "a string: put it in quotes")
	default:
		out.SetString(n.Value)
	}
}

// unquoted reports whether n is a scalar that is not text to every reader. A
// quoted number is text.
func unquoted(n *yaml.Node, tag string) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && n.Tag == tag
}

func (d *decoder) boolean(n *yaml.Node, out reflect.Value, path string) {
	if !unquoted(n, "!!bool") || n.Value != "true" && n.Value != "false" {
		d.mismatch(n, path, "true or false")
		return
	}
	out.SetBool(n.Value == "true")
}

// decimal has no sign, leading zero, underscore or other base: readers differ
// on all of them.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func (d *decoder) integer(n *yaml.Node, out reflect.Value, path string) {
	if !unquoted(n, "!!int") || !decimal.MatchString(n.Value) {
		d.mismatch(n, path, "a whole number")
		return
	}
	size := out.Type().Bits()
	if out.CanUint() {
		v, err := strconv.ParseUint(n.Value, 10, size)
		if err != nil {
			d.mismatch(n, path, fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-size)))
			return
		}
		out.SetUint(v)
		return
	}
	v, err := strconv.ParseInt(n.Value, 10, size)
	if err != nil {
		d.mismatch(n, path, fmt.Sprintf("a whole number of %d bits", size))
		return
	}
	out.SetInt(v)
}

func (d *decoder) duration(n *yaml.Node, out *time.Duration, path string) {
	const expected = "a duration such as 30s, 10m or 1h30m"
	if n.Kind != yaml.ScalarNode {
		d.mismatch(n, path, expected)
		return
	}
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		d.mismatch(n, path, expected)
		return
	}
	*out = v
}

func (d *decoder) text(n *yaml.Node, out encoding.TextUnmarshaler, path string) {
	if n.Kind != yaml.ScalarNode {
		d.mismatch(n, path, "a single value")
		return
	}
	if err := out.UnmarshalText([]byte(n.Value)); err != nil {
		d.errs.Add(place(n), path, err.Error(), describe(n), "")
	}
}

// orNone reads a mapping, or a list if that is what there is room for, or the word
// none.
func (d *decoder) orNone(n *yaml.Node, out orNone, path string) {
	none := n.Kind == yaml.ScalarNode && isString(n) && n.Value == "none"
	kind, expected := yaml.MappingNode, `"none" or a mapping`
	if out.holdsList() {
		kind, expected = yaml.SequenceNode, `"none" or a list`
	}
	if n.Kind != kind && !none {
		d.mismatch(n, path, expected)
		return
	}
	if v := out.fill(place(n), none); !none {
		d.value(n, v, path)
	}
}

// choice reads a mapping with one key, or that key alone, which stands for an empty
// mapping below it: what that lacks is said as if it had been written.
func (d *decoder) choice(n *yaml.Node, out choice, path string) {
	bare := n.Kind == yaml.ScalarNode && isString(n)
	switch {
	case bare:
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column, Content: []*yaml.Node{
			n, {Kind: yaml.MappingNode, Line: n.Line, Column: n.Column},
		}}
	case n.Kind == yaml.MappingNode && len(n.Content) > 2:
		d.mismatch(n.Content[2], path, "one key alone, after "+Quote(n.Content[0].Value))
		return
	}
	key := ""
	if n.Kind == yaml.MappingNode {
		key = n.Content[0].Value
	}
	d.structure(n, out.choose(place(n), key), path)
}

// words reads a list or a single word.
func (d *decoder) words(n *yaml.Node, out *Words, path string) {
	out.Pos = place(n)
	switch n.Kind {
	case yaml.SequenceNode:
		d.value(n, reflect.ValueOf(&out.List).Elem(), path)
	case yaml.ScalarNode:
		d.value(n, reflect.ValueOf(&out.Word).Elem(), path)
	default:
		d.mismatch(n, path, "a word or a list")
	}
}

// block reads a literal block. No other form keeps the lines of its text.
func (d *decoder) block(n *yaml.Node, out *Block, path string) {
	if n.Kind != yaml.ScalarNode || n.Style != yaml.LiteralStyle {
		d.mismatch(n, path, `a literal block: "|" and the text on the lines below it`)
		return
	}
	out.Value = n.Value
	out.Pos = Pos{place(n).Line + 1, d.src.indent(place(n).Line+1, n.Value) + 1}
}
