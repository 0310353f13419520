package compose

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document is a Compose file as values, with the line of each.
type document struct {
	values map[string]any
	// keys are the paths of all keys of mappings, in the order of the file.
	keys  []key
	lines map[string]int
}

// key is a key of a mapping. Paths are for people: a file can choose its names so that
// two are the same.
type key struct {
	path, name string
	in         int  // the key that the mapping is the value of, by its index; -1 for none
	item       bool // the mapping is in a list that is the value
}

// place is where a value is.
type place struct {
	path  string
	in    int
	item  bool
	depth int
}

func (p place) below() place {
	p.depth++
	return p
}

// mostNodes bounds what aliases can make of a small file, mostText what its keys can:
// each is in the paths of all that is below it, as often as an alias repeats it.
const (
	mostNodes = 20000
	deepest   = 40
	mostText  = 16 << 20
)

// read parses a file. Who reads it after us is handed the values and not the text,
// so that both read the same.
func read(file []byte) (*document, error) {
	if len(file) > MaxSize {
		return nil, fmt.Errorf("compose: a file of %d bytes, limit %d", len(file), MaxSize)
	}
	d := yaml.NewDecoder(bytes.NewReader(file))
	var root yaml.Node
	if err := d.Decode(&root); err != nil {
		return nil, fmt.Errorf("compose: %w", err)
	}
	var second yaml.Node
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, errors.New("compose: the file holds several documents, or its end cannot be read")
	}
	r := &reader{doc: &document{lines: map[string]int{}}}
	v, err := r.value(root.Content[0], place{in: -1})
	if err != nil {
		return nil, fmt.Errorf("compose: %w", err)
	}
	values, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("compose: the file is no mapping")
	}
	r.doc.values = values
	return r.doc, nil
}

type reader struct {
	doc   *document
	nodes int
	text  int // bytes of paths
}

func (r *reader) value(n *yaml.Node, at place) (any, error) {
	path := at.path
	if r.nodes++; r.nodes > mostNodes || at.depth > deepest {
		return nil, fmt.Errorf("line %d: more than %d values or %d levels", n.Line, mostNodes, deepest)
	}
	if r.text += len(path); r.text > mostText {
		return nil, fmt.Errorf("line %d: names of more than %d bytes, with all that aliases repeat", n.Line, mostText)
	}
	if path != "" && r.doc.lines[path] == 0 {
		r.doc.lines[path] = n.Line
	}
	if strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!") || n.Tag == "!!binary" {
		return nil, fmt.Errorf("line %d: %s: the tag %.40q, expected none", n.Line, path, n.Tag)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(n.Alias, at.below())
	case yaml.SequenceNode:
		list := []any{}
		for i, item := range n.Content {
			v, err := r.value(item, place{fmt.Sprintf("%s[%d]", path, i), at.in, true, at.depth + 1})
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		out := map[string]any{}
		return out, r.mapping(n, at, out)
	}
	return scalar(n, path)
}

func scalar(n *yaml.Node, path string) (any, error) {
	if n.Tag == "!!timestamp" {
		return n.Value, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, fmt.Errorf("line %d: %s: %w", n.Line, path, err)
	}
	if big, ok := v.(uint64); ok {
		return nil, fmt.Errorf("line %d: %s: the number %d is too large", n.Line, path, big)
	}
	return v, nil
}

// mapping adds the keys of a mapping. What is merged into it (<<) counts where it has
// no such key of its own.
func (r *reader) mapping(n *yaml.Node, at place, out map[string]any) error {
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case k.Kind != yaml.ScalarNode:
			return fmt.Errorf("line %d: %s: a key that is no word", k.Line, at.path)
		case k.Tag == "!!merge":
			merged = append(merged, v)
			continue
		}
		if _, twice := out[k.Value]; twice {
			return fmt.Errorf("line %d: %s: the key %.80q a second time", k.Line, at.path, k.Value)
		}
		if err := r.member(k, v, at, out); err != nil {
			return err
		}
	}
	for _, m := range merged {
		if err := r.merge(m, at.below(), out); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) member(k, v *yaml.Node, at place, out map[string]any) error {
	path := k.Value
	if at.path != "" {
		path = at.path + "." + k.Value
	}
	r.doc.lines[path] = k.Line
	r.doc.keys = append(r.doc.keys, key{path, k.Value, at.in, at.item})
	value, err := r.value(v, place{path: path, in: len(r.doc.keys) - 1, depth: at.depth + 1})
	if err != nil {
		return err
	}
	out[k.Value] = value
	return nil
}

// merge adds what a mapping, or each of a list of them, has and out has not.
func (r *reader) merge(n *yaml.Node, at place, out map[string]any) error {
	if r.nodes++; r.nodes > mostNodes || at.depth > deepest {
		return fmt.Errorf("line %d: more than %d values or %d levels", n.Line, mostNodes, deepest)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.merge(n.Alias, at.below(), out)
	case yaml.SequenceNode:
		for _, one := range n.Content {
			if err := r.merge(one, at.below(), out); err != nil {
				return err
			}
		}
		return nil
	case yaml.MappingNode:
	default:
		return fmt.Errorf("line %d: %s: << of what is no mapping", n.Line, at.path)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Tag == "!!merge" {
			if err := r.merge(v, at.below(), out); err != nil {
				return err
			}
			continue
		}
		if _, own := out[k.Value]; own || k.Kind != yaml.ScalarNode {
			continue
		}
		if err := r.member(k, v, at, out); err != nil {
			return err
		}
	}
	return nil
}
