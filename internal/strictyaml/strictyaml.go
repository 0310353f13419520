// Package strictyaml answers one question: do these bytes say exactly one
// thing, and is it a thing we have a field for?
//
// It reads the documents in which people write down what a box may do
// (box.yaml), what they accept (trust.yaml) and how a model is used
// (pipeline.yaml). Such a document is hashed, shown to people, and acted upon,
// so it must not be possible for two readers to understand it differently. Everything in YAML that allows this is
// refused: a second document, anchors, aliases, merge keys, tags, directives,
// keys that occur twice, keys that nobody knows, values that YAML 1.1 and 1.2
// read differently, nulls, and characters that do not show on a screen.
//
// It stands on both sides of the trust boundary: inside the box, and with the
// relying party, who gets the document from a stranger. Size and depth are
// bounded.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

const (
	// MaxSize is the largest document in bytes.
	MaxSize = 64 << 10
	// MaxDepth is how deep mappings and lists may stand in each other.
	MaxDepth = 16
	// maxErrors bounds what is said about one document.
	maxErrors = 20
)

// Pos is a place in a document: line and column, both from 1, the column in
// characters. A field of type Pos in a struct is set to the place of the
// mapping that the struct was read from; it is not a key itself.
type Pos struct{ Line, Column int }

// String returns "line:column".
func (p Pos) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }

// At holds a value and the place it was read from, for checks that can only
// be made after reading. The zero Pos says that the key was not there.
type At[T any] struct {
	Value T
	Pos   Pos
}

func (a *At[T]) place(p Pos) reflect.Value {
	a.Pos = p
	return reflect.ValueOf(&a.Value).Elem()
}

// placed is every *At[T].
type placed interface{ place(Pos) reflect.Value }

// OrNone holds a T, or the single word none: Value is nil then. The zero Pos
// says that the key was not there.
type OrNone[T any] struct {
	Value *T
	Pos   Pos
}

// fill makes room for the value, unless there is none.
func (o *OrNone[T]) fill(p Pos, none bool) reflect.Value {
	o.Pos = p
	if none {
		return reflect.Value{}
	}
	o.Value = new(T)
	return reflect.ValueOf(o.Value).Elem()
}

func (o *OrNone[T]) holdsList() bool { return reflect.TypeFor[T]().Kind() == reflect.Slice }

// orNone is every *OrNone[T].
type orNone interface {
	holdsList() bool
	fill(p Pos, none bool) reflect.Value
}

// Words is a list of strings, or a single word that stands for one: List is nil
// then. The zero Pos says that the key was not there.
type Words struct {
	Word string
	List []At[string]
	Pos  Pos
}

// Choice holds a struct of which exactly one key is given: a mapping with that key
// alone, or its name as a bare word if it needs nothing more. All fields of T are
// pointers. The zero Pos says that there was no choice.
type Choice[T any] struct {
	Value T
	Key   string
	Pos   Pos
}

// choose notes what was chosen and returns where its value belongs.
func (c *Choice[T]) choose(p Pos, key string) reflect.Value {
	c.Pos, c.Key = p, key
	return reflect.ValueOf(&c.Value).Elem()
}

// choice is every *Choice[T].
type choice interface {
	choose(p Pos, key string) reflect.Value
}

// Block is text in another language, written as a literal block ("key: |"), so
// that each of its lines is a line of the document.
type Block struct {
	Value string
	// Pos is where the first line of the text begins. The zero Pos says that the
	// key was not there.
	Pos Pos
}

// At returns the place in the document of a place in the text.
func (b *Block) At(line, column int) Pos {
	return Pos{b.Pos.Line + max(line, 1) - 1, b.Pos.Column + max(column, 1) - 1}
}

// Decode reads the one document in doc into out, a pointer to a struct.
//
// Keys are the names in `yaml:"name"` tags and must match exactly; the option
// `required` makes a key mandatory, a field tagged "-" is none. Supported are
// structs, maps with string keys, slices, pointers, strings, bools, integers,
// [At], and whatever has an UnmarshalText method, which gets any scalar as it
// is written. Integers are decimal. A string that YAML could also read as
// something else must be quoted.
//
// The error is of type [Errors] and holds every problem found; out is not to
// be used then.
func Decode(doc []byte, out any) error {
	dst := reflect.ValueOf(out)
	if dst.Kind() != reflect.Pointer || dst.IsNil() || dst.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("strictyaml: cannot decode into %T, expected a pointer to a struct", out)
	}
	src, err := readSource(doc)
	if err != nil {
		return err
	}
	root, err := parseOne(doc)
	if err != nil {
		return err
	}
	shape := shapeCheck{src: src}
	shape.node(root, "", 1)
	if err := shape.errs.Err(); err != nil {
		return err
	}
	d := decoder{src: src}
	d.value(root, dst.Elem(), "")
	return d.errs.Err()
}

// Lines returns the line of every value of a document that [Decode] accepts, by
// its path, such as "callers[0].may". The document itself has the path "". What
// cannot be read has no lines.
func Lines(doc []byte) map[string]int {
	lines := map[string]int{}
	if len(doc) > MaxSize {
		return lines
	}
	if root, err := parseOne(doc); err == nil {
		addLines(lines, root, "", 1)
	}
	return lines
}

func addLines(lines map[string]int, n *yaml.Node, path string, depth int) {
	if depth > MaxDepth {
		return
	}
	lines[path] = place(n).Line
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			addLines(lines, n.Content[i+1], join(path, n.Content[i].Value), depth+1)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			addLines(lines, item, path+"["+strconv.Itoa(i)+"]", depth+1)
		}
	}
}

// parseOne returns the root node of the only document.
func parseOne(doc []byte) (root *yaml.Node, err error) {
	// The parser reports its internal errors by panicking and recovers from
	// most. One that it does not recover from must not take a box down.
	defer func() {
		if r := recover(); r != nil {
			root, err = nil, oneError(1, 1, "not YAML: the parser gave up")
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(doc))
	var first yaml.Node
	switch err := dec.Decode(&first); {
	case errors.Is(err, io.EOF):
		return nil, oneError(1, 1, "the document is empty")
	case err != nil:
		return nil, syntaxError(err)
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 {
		return nil, oneError(1, 1, "the document is empty")
	}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, oneError(second.Line, second.Column, "a second document, expected one")
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err)
	}
	return first.Content[0], nil
}

// parserLine finds the line in an error of the YAML parser, which has no
// field for it.
var parserLine = regexp.MustCompile(`^(?:yaml: )?(?:line ([0-9]{1,6}): )?(.*)$`)

func syntaxError(err error) error {
	line := 1
	text := err.Error()
	if m := parserLine.FindStringSubmatch(text); m != nil {
		text = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			line = n
		}
	}
	return oneError(line, 1, "not YAML: "+text)
}
