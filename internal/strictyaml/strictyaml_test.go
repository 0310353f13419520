package strictyaml

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

type inner struct {
	Pos    Pos
	Listen string `yaml:"listen,required"`
	Port   uint16 `yaml:"port"`
}

type level string

func (l *level) UnmarshalText(text []byte) error {
	if string(text) != "none" && string(text) != "off" {
		return errors.New("not a level")
	}
	*l = level(text)
	return nil
}

type sample struct {
	Name    string            `yaml:"name"`
	App     *inner            `yaml:"app"`
	Items   []inner           `yaml:"items"`
	Env     map[string]string `yaml:"env"`
	Count   int8              `yaml:"count"`
	On      bool              `yaml:"on_start"`
	Wait    time.Duration     `yaml:"wait"`
	Level   level             `yaml:"level"`
	Deep    map[string]deep   `yaml:"deep"`
	Marked  At[string]        `yaml:"marked"`
	private string
	Ignored string `yaml:"-"`
	Plain   string
}

type deep map[string]deep

var _ = sample{}.private // is there to be no key

const good = `# what runs
name: "box"
app: {listen: '127.0.0.1:80', port: 80}
items:
  - listen: a
  -   listen: b
env:
  A: "1"
  B: |
    two
    lines
count: -128
on_start: true
wait: 1h30m
level: off
marked:   here
plain: x
`

func TestDecode(t *testing.T) {
	for _, doc := range []string{good, strings.ReplaceAll(good, "\n", "\r\n"), "---\n" + good + "...\n# the end\n"} {
		var got sample
		if err := Decode([]byte(doc), &got); err != nil {
			t.Fatalf("%q: %v", doc, err)
		}
		line := got.App.Pos.Line - 3
		want := sample{
			Name:  "box",
			App:   &inner{Pos{3 + line, 6}, "127.0.0.1:80", 80},
			Items: []inner{{Pos{5 + line, 5}, "a", 0}, {Pos{6 + line, 7}, "b", 0}},
			Env:   map[string]string{"A": "1", "B": "two\nlines\n"},
			Count: -128, On: true, Wait: 90 * time.Minute, Level: "off", Plain: "x",
			Marked: At[string]{"here", Pos{16 + line, 11}},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

// refused holds one document for each thing that is refused, and the whole
// error text.
var refused = []struct{ name, doc, want string }{
	{"empty", "", "1:1: the document is empty"},
	{"only a comment", "# nothing\n", "1:1: the document is empty"},
	{"only a marker", "---\n", "2:1: no value"},
	{"not a mapping", "- name\n", "1:1: seen a list, expected a mapping with the keys name, app, items, env, count, on_start, wait, level, deep, marked, plain"},
	{"text", "name\n", `1:1: seen "name", expected a mapping with the keys name, app, items, env, count, on_start, wait, level, deep, marked, plain`},
	{"second document", "name: a\n---\nname: b\n", "2:1: a second document, expected one"},
	{"second empty document", "name: a\n---\n", "2:1: a second document, expected one"},
	{"rest after the end", "name: a\n...\nname: b\n", "2:1: not YAML: did not find expected <document start>"},
	{"broken", "name: [a\n", "1:1: not YAML: did not find expected ',' or ']'"},
	{"tab indent", "app:\n\tlisten: a\n", "2:1: not YAML: found character that cannot start any token"},
	{"not UTF-8", "name: a\nplain: \xff\n", "2:8: not UTF-8"},
	{"byte order mark", "\ufeffname: a\n", "1:1: the character U+FEFF, which does not show"},
	{"UTF-16", "n\x00a\x00m\x00e\x00", "1:2: the character U+0000, which does not show"},
	{"lone carriage return", "name: a # c\rplain: b\n", "1:12: the character U+000D, which does not show"},
	{"line separator", "name: a # c\u2028plain: b\n", "1:12: the character U+2028, which does not show"},
	{"next line", "name: a # c\u0085plain: b\n", "1:12: the character U+0085, which does not show"},
	{"bidirectional override", "name: a # \u202e\n", "1:11: the character U+202E, which does not show"},
	{"zero width in a key", "na\u200bme: a\n", "1:3: the character U+200B, which does not show"},
	{"escaped control character", `name: "a\u0000b"`, "1:7: name: a value with the character U+0000, which does not show"},
	{"escaped override in a key", `"na\u202eme": a`, `1:1: a value with the character U+202E, which does not show`},
	{"version directive", "# c\n\n%YAML 1.1\n---\nname: a\n", "3:1: a line that begins with %, which YAML takes for a directive"},
	{"alias", "name: &x a\nplain: *x\n", "1:7: name: an anchor, which is not allowed\n2:8: plain: an alias, which is not allowed: write the value itself"},
	{"anchor on a mapping", "app: &x {listen: a}\n", "1:6: app: an anchor, which is not allowed"},
	{"anchor on the document", "&x\nname: a\n", "1:1: an anchor, which is not allowed"},
	{"merge key", "app: {<<: {port: 1}, listen: a}\n", "1:7: app: a merge key, which is not allowed"},
	{"tag", "name: !!str 1\n", "1:7: name: a tag, which is not allowed"},
	{"own tag", "name: !mine a\n", "1:7: name: a tag, which is not allowed"},
	{"verbatim tag", "name: !<tag:yaml.org,2002:str> a\n", "1:7: name: a tag, which is not allowed"},
	{"the tag the parser forgets", "count: ! 12\n", "1:8: count: a tag, which is not allowed"},
	{"tag on a key", "!!str name: a\n", "1:1: a tag, which is not allowed"},
	{"tag on a second key", "plain: b\n!!str name: a\n", "2:1: a tag, which is not allowed"},
	{"binary", "name: !!binary aGk=\n", "1:7: name: a tag, which is not allowed"},
	{"key twice", "name: a\nname: a\n", `2:1: name: the key "name" again, first at 1:1`},
	{"key twice, quoted", "name: a\n\"name\": a\n", `2:1: name: the key "name" again, first at 1:1`},
	{"key twice in a map", "env: {A: a, A: b}\n", `1:13: env.A: the key "A" again, first at 1:7`},
	{"unknown key", "nmae: a\n", `1:1: unknown key "nmae", expected one of name, app, items, env, count, on_start, wait, level, deep, marked, plain (did you mean "name"?)`},
	{"key in other case", "items:\n  - Listen: a\n    port: 1\n", "2:5: items[0]: unknown key \"Listen\", expected one of listen, port (did you mean \"listen\"?)\n2:5: items[0].listen: missing"},
	{"no key at all like it", "app: {listen: a, zzzzzzzzz: b}\n", `1:18: app: unknown key "zzzzzzzzz", expected one of listen, port`},
	{"a field that is no key", "private: a\n", `1:1: unknown key "private", expected one of name, app, items, env, count, on_start, wait, level, deep, marked, plain`},
	{"required key missing", "app: {port: 1}\n", "1:6: app.listen: missing"},
	{"key is a number", "env: {1: a}\n", "1:7: env: a key that is not a plain word"},
	{"key is true to some", "env: {on: a}\n", "1:7: env: a key that is not a plain word"},
	{"key is a list", "? [a]\n: b\n", "1:3: a key that is not a plain word"},
	{"key is empty", "\"\": b\n", "1:1: a key that is not a plain word"},
	{"null", "name:\n", "1:6: name: no value"},
	{"null in words", "name: null\n", "1:7: name: no value"},
	{"null in a list", "items: [~]\n", "1:9: items[0]: no value"},
	{"empty list", "items: []\n", "1:8: items: an empty list: fill it, or leave the key out"},
	{"empty mapping", "env: {}\n", "1:6: env: an empty mapping: fill it, or leave the key out"},
	{"number for string", "name: 12\n", "1:7: name: seen the number 12, expected a string: put it in quotes"},
	{"date for string", "name: 2027-01-01\n", "1:7: name: seen the date 2027-01-01, expected a string: put it in quotes"},
	{"truth value for string", "name: true\n", "1:7: name: seen the truth value true, expected a string: put it in quotes"},
	{"true to YAML 1.1", "name: no\n", `1:7: name: seen "no", expected a string: put it in quotes`},
	{"base of sixty", "name: 1000:50\n", `1:7: name: seen "1000:50", expected a string: put it in quotes`},
	{"a time of day", "name: 12:30:59.5\n", `1:7: name: seen "12:30:59.5", expected a string: put it in quotes`},
	{"list for string", "name: [a]\n", "1:7: name: seen a list, expected a string"},
	{"string for number", "count: \"1\"\n", `1:8: count: seen "1", expected a whole number`},
	{"octal", "count: 010\n", "1:8: count: seen the number 010, expected a whole number"},
	{"hexadecimal", "count: 0x10\n", "1:8: count: seen the number 0x10, expected a whole number"},
	{"underscore", "count: 1_0\n", "1:8: count: seen the number 1_0, expected a whole number"},
	{"plus", "count: +1\n", "1:8: count: seen the number +1, expected a whole number"},
	{"fraction", "count: 1.0\n", "1:8: count: seen the number 1.0, expected a whole number"},
	{"too large", "count: 128\n", "1:8: count: seen the number 128, expected a whole number of 8 bits"},
	{"negative", "app: {listen: a, port: -1}\n", "1:24: app.port: seen the number -1, expected a whole number from 0 to 65535"},
	{"string for bool", "on_start: \"true\"\n", `1:11: on_start: seen "true", expected true or false`},
	{"other case of bool", "on_start: True\n", "1:11: on_start: seen the truth value True, expected true or false"},
	{"number for duration", "wait: 10\n", "1:7: wait: seen the number 10, expected a duration such as 30s, 10m or 1h30m"},
	{"negative duration", "wait: -1s\n", `1:7: wait: seen "-1s", expected a duration such as 30s, 10m or 1h30m`},
	{"list for duration", "wait: [1s]\n", "1:7: wait: seen a list, expected a duration such as 30s, 10m or 1h30m"},
	{"own type refuses", "level: high\n", `1:8: level: not a level, seen "high"`},
	{"own type gets a list", "level: [none]\n", "1:8: level: seen a list, expected a single value"},
	{"mapping for list", "items: {listen: a}\n", "1:8: items: seen a mapping, expected a list"},
	{"list for mapping", "env: [a]\n", "1:6: env: seen a list, expected a mapping"},
	{"odd key in a path", "env: {\"a b\": 1}\n", `1:14: env["a b"]: seen the number 1, expected a string: put it in quotes`},
	{"too large a document", "name: a\n#" + strings.Repeat("x", MaxSize) + "\n", fmt.Sprintf("1:1: a document of %d bytes, limit %d", MaxSize+10, MaxSize)},
	{"too deep", "deep: " + strings.Repeat("{a: ", 16) + "b" + strings.Repeat("}", 16), "1:67: deep" + strings.Repeat(".a", 15) + ": more than 16 levels deep"},
}

func TestRefused(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			err := Decode([]byte(c.doc), &sample{})
			var first *Error
			if !errors.As(err, &first) || first.Line < 1 || first.Column < 1 {
				t.Fatalf("got %v, expected an *Error with a place", err)
			}
			if err.Error() != c.want {
				t.Errorf("\ngot  %v\nwant %v", err, c.want)
			}
		})
	}
}

type extras struct {
	Egress OrNone[inner] `yaml:"egress"`
	Rules  Block         `yaml:"rules"`
	Rest   string        `yaml:"rest"`
}

func TestOrNone(t *testing.T) {
	for doc, want := range map[string]OrNone[inner]{
		"rest: x\n":                      {},
		"egress: none\n":                 {nil, Pos{1, 9}},
		"egress: \"none\"\n":             {nil, Pos{1, 9}},
		"egress: {listen: a, port: 7}\n": {&inner{Pos{1, 9}, "a", 7}, Pos{1, 9}},
	} {
		var got extras
		if err := Decode([]byte(doc), &got); err != nil || !reflect.DeepEqual(got.Egress, want) {
			t.Errorf("%q: got %+v, %v, want %+v", doc, got.Egress, err, want)
		}
	}
	for doc, want := range map[string]string{
		"egress: all\n":           `1:9: egress: seen "all", expected "none" or a mapping`,
		"egress: None\n":          `1:9: egress: seen "None", expected "none" or a mapping`,
		"egress: [none]\n":        `1:9: egress: seen a list, expected "none" or a mapping`,
		"egress: {port: 7}\n":     `1:9: egress.listen: missing`,
		"egress: {none: \"x\"}\n": "1:9: egress.listen: missing\n1:10: egress: unknown key \"none\", expected one of listen, port",
	} {
		if err := Decode([]byte(doc), &extras{}); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", doc, err, want)
		}
	}
}

func TestWords(t *testing.T) {
	type words struct {
		May  Words  `yaml:"may"`
		Rest string `yaml:"rest"`
	}
	for doc, want := range map[string]Words{
		"rest: x\n":           {},
		"may: none\n":         {Word: "none", Pos: Pos{1, 6}},
		"may: [a, \"b:1\"]\n": {List: []At[string]{{"a", Pos{1, 7}}, {"b:1", Pos{1, 10}}}, Pos: Pos{1, 6}},
	} {
		var got words
		if err := Decode([]byte(doc), &got); err != nil || !reflect.DeepEqual(got.May, want) {
			t.Errorf("%q: got %+v, %v, want %+v", doc, got.May, err, want)
		}
	}
	for doc, want := range map[string]string{
		"may: {a: b}\n": `1:6: may: seen a mapping, expected a word or a list`,
		"may: true\n":   `1:6: may: seen the truth value true, expected a string: put it in quotes`,
		"may: [1]\n":    `1:7: may[0]: seen the number 1, expected a string: put it in quotes`,
	} {
		if err := Decode([]byte(doc), &words{}); err == nil || err.Error() != want {
			t.Errorf("%q:\ngot  %v\nwant %s", doc, err, want)
		}
	}
}

// TestBlock: a place in the text is a place in the document.
func TestChoice(t *testing.T) {
	type ways struct {
		Bare *struct{ Pos Pos } `yaml:"bare"`
		Size *struct{ At[int] } `yaml:"size"`
		Long *inner             `yaml:"long"`
	}
	type chosen struct {
		Way  Choice[ways]   `yaml:"way"`
		List []Choice[ways] `yaml:"list"`
	}
	var got chosen
	if err := Decode([]byte("way: {size: 3}\nlist: [bare, long: {listen: a}, \"bare\", bare]\n"), &got); err != nil {
		t.Fatal(err)
	}
	if w := got.Way; w.Key != "size" || w.Pos != (Pos{1, 6}) || w.Value.Size.Value != 3 || w.Value.Size.Pos != (Pos{1, 13}) || w.Value.Bare != nil {
		t.Errorf("%+v", w)
	}
	if l := got.List; len(l) != 4 || l[0].Key != "bare" || l[0].Value.Bare == nil || l[0].Pos != (Pos{2, 8}) || l[1].Value.Long.Listen != "a" || l[2].Value.Bare == nil {
		t.Errorf("%+v", l)
	}
	for doc, want := range map[string]string{
		"way: huge\n":                         `1:6: way: unknown key "huge", expected one of bare, size, long`,
		"way: bear\n":                         `1:6: way: unknown key "bear", expected one of bare, size, long`,
		"way: size\n":                         `1:6: way.size: seen nothing, expected a whole number`,
		"way: long\n":                         `1:6: way.long.listen: missing`,
		"way: {}\n":                           `1:6: way: an empty mapping`,
		"way: {bare: {}}\n":                   `1:13: way.bare: an empty mapping`,
		"way: {bare: x}\n":                    `1:13: way.bare: seen "x", expected a mapping`,
		"way: {size: 3, long: {listen: a}}\n": `1:16: way: seen "long", expected one key alone, after "size"`,
		"way: [bare]\n":                       `1:6: way: seen a list, expected a mapping with the keys bare, size, long`,
		"way: 3\n":                            `1:6: way: seen the number 3, expected a mapping`,
		"way: yes\n":                          `1:6: way: seen "yes", expected a mapping`,
	} {
		var got chosen
		if err := Decode([]byte(doc), &got); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", doc, err, want)
		}
	}
}

func TestBlock(t *testing.T) {
	for doc, want := range map[string]Block{
		"rest: x\n":                              {},
		"rules: |\n  a\n  b\n":                   {"a\nb\n", Pos{2, 3}},
		"rules: |-\n    a\n      b":              {"a\n  b", Pos{2, 5}},
		"rest: x\nrules: | # why\n\n\n  é\n":     {"\n\né\n", Pos{3, 3}},
		"rules: |2\n      a\n":                   {"    a\n", Pos{2, 3}},
		"rules: |\n  a\n  # no comment\nrest: x": {"a\n# no comment\n", Pos{2, 3}},
	} {
		var got extras
		if err := Decode([]byte(doc), &got); err != nil || got.Rules != want {
			t.Errorf("%q: got %+v, %v, want %+v", doc, got.Rules, err, want)
		}
	}
	for _, doc := range []string{"rules: a\n", "rules: >\n  a\n", "rules: \"a\"\n", "rules: 'a'\n", "rules: [a]\n", "rules: {a: b}\n", "rules: 1\n"} {
		err := Decode([]byte(doc), &extras{})
		if err == nil || !strings.HasSuffix(err.Error(), `expected a literal block: "|" and the text on the lines below it`) {
			t.Errorf("%q: got %v", doc, err)
		}
	}
	b := Block{"a\nb\n", Pos{7, 3}}
	for at, want := range map[[2]int]Pos{{1, 1}: {7, 3}, {2, 5}: {8, 7}, {0, 0}: {7, 3}} {
		if got := b.At(at[0], at[1]); got != want {
			t.Errorf("%v is at %s, expected %s", at, got, want)
		}
	}
}

func TestLines(t *testing.T) {
	got := Lines([]byte("name: \"box\"\nitems:\n  - listen: a\n  - {listen: b,\n     port: 1}\n"))
	want := map[string]int{"": 1, "name": 1, "items": 3, "items[0]": 3, "items[0].listen": 3, "items[1]": 4, "items[1].listen": 4, "items[1].port": 5}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, doc := range []string{"", "a: [", strings.Repeat("#", MaxSize+1) + "\na: b\n", strings.Repeat("[", 5000)} {
		if got := Lines([]byte(doc)); len(got) != 0 {
			t.Errorf("%.20q has lines: %v", doc, got)
		}
	}
	deep := Lines([]byte(strings.Repeat("{a: ", MaxDepth+5) + "b" + strings.Repeat("}", MaxDepth+5)))
	if len(deep) != MaxDepth {
		t.Errorf("%d lines of a deep document", len(deep))
	}
}

func TestDeepButAllowed(t *testing.T) {
	doc := "deep: " + strings.Repeat("{a: ", 13) + "{a: x}" + strings.Repeat("}", 13)
	err := Decode([]byte(doc), &sample{})
	if err == nil || strings.Contains(err.Error(), "levels deep") {
		t.Errorf("got %v, expected only a type mismatch", err)
	}
}

func TestManyErrorsAreBounded(t *testing.T) {
	err := Decode([]byte(strings.Repeat("a:\n", 1000)), &sample{})
	var all Errors
	if !errors.As(err, &all) || len(all) != maxErrors {
		t.Errorf("got %d errors, want %d", len(all), maxErrors)
	}
}

func TestDecodeIntoNothing(t *testing.T) {
	var nilSample *sample
	for _, out := range []any{nil, sample{}, nilSample, new(string)} {
		if err := Decode([]byte(good), out); err == nil {
			t.Errorf("decoded into %T", out)
		}
	}
	var odd struct {
		F float64 `yaml:"f"`
	}
	if err := Decode([]byte("f: 1.5\n"), &odd); err == nil {
		t.Error("decoded into a type that cannot be read")
	}
}

// TestHostileShapesAreFast: documents that are cheap to write must not be dear
// to read. The bound is far above what is needed and far below quadratic.
func TestHostileShapesAreFast(t *testing.T) {
	fill := func(s string) string { return strings.Repeat(s, MaxSize/len(s)) }
	for _, doc := range []string{
		fill("["), fill("{"), fill("{a: "), fill("- "), fill("? "), fill("a: "), fill("#\n"), fill("\n"),
		fill("a: b\n"), fill("- a\n"), fill("!"), fill("&a "), "name: \"" + fill("\\")[:MaxSize-8],
		"name: " + fill("x\n "), "{" + fill("a,"), "nam: |\n" + fill(" \n")[:MaxSize-8], fill("[a,"), fill("'"),
	} {
		took := time.Hour
		for range 4 { // the machine may do something else meanwhile
			start := time.Now()
			if err := Decode([]byte(doc), &sample{}); err == nil {
				t.Errorf("%.20q...: accepted", doc)
			}
			if took = min(took, time.Since(start)); took < 5*time.Second {
				break
			}
		}
		if took > 5*time.Second {
			t.Errorf("%.20q...: took %s", doc, took)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"paht": "path", "Paths": "paths", "egresss": "egress", "quux": ""} {
		if got := Nearest(name, []string{"path", "paths", "egress"}); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
	if got := Nearest(strings.Repeat("a", 100), []string{"a"}); got != "" {
		t.Errorf("a very long name is near %q", got)
	}
}

// FuzzDecode: nothing panics, every error has a place, and what is accepted is
// what an ordinary YAML reader finds in the document.
func FuzzDecode(f *testing.F) {
	f.Add(good)
	for _, c := range refused {
		if len(c.doc) < 1000 {
			f.Add(c.doc)
		}
	}
	f.Fuzz(func(t *testing.T, doc string) {
		type both struct {
			Name  string            `yaml:"name"`
			Items []string          `yaml:"items"`
			Env   map[string]string `yaml:"env"`
			Count int               `yaml:"count"`
			On    bool              `yaml:"on_start"`
		}
		var got, other both
		if err := Decode([]byte(doc), &got); err != nil {
			var first *Error
			if !errors.As(err, &first) || first.Line < 1 || first.Column < 1 {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		if err := yaml.Unmarshal([]byte(doc), &other); err != nil {
			t.Fatalf("accepted what the YAML package refuses: %v", err)
		}
		if !reflect.DeepEqual(got, other) {
			t.Fatalf("read %+v, the YAML package %+v", got, other)
		}
	})
}
