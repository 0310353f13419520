package strictyaml

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shapeCheck looks at the tree as YAML, before any field is known.
type shapeCheck struct {
	src  *source
	errs Errors
}

func place(n *yaml.Node) Pos { return Pos{max(n.Line, 1), max(n.Column, 1)} }

func (s *shapeCheck) fail(n *yaml.Node, path, problem string) {
	s.errs.Add(place(n), path, problem, "", "")
}

func (s *shapeCheck) node(n *yaml.Node, path string, depth int) {
	if depth > MaxDepth {
		s.fail(n, path, fmt.Sprintf("more than %d levels deep", MaxDepth))
		return
	}
	if !s.plain(n, path) {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		s.mapping(n, path, depth)
	case yaml.SequenceNode:
		s.list(n, path, depth)
	case yaml.ScalarNode:
		s.scalar(n, path)
	default:
		s.fail(n, path, "not a mapping, list or value")
	}
}

// plain refuses everything that makes a node mean something else than what it
// says where it stands. The source is looked at because the parser forgets the
// tag "!", and the node because a place could be reported wrongly.
func (s *shapeCheck) plain(n *yaml.Node, path string) bool {
	mark := s.src.at(place(n))
	switch {
	case n.Kind == yaml.AliasNode || mark == '*':
		s.fail(n, path, "an alias, which is not allowed: write the value itself")
	case n.Anchor != "" || mark == '&':
		s.fail(n, path, "an anchor, which is not allowed")
	case n.Style&yaml.TaggedStyle != 0 || mark == '!':
		s.fail(n, path, "a tag, which is not allowed")
	default:
		return true
	}
	return false
}

func (s *shapeCheck) mapping(n *yaml.Node, path string, depth int) {
	if len(n.Content) == 0 {
		s.fail(n, path, "an empty mapping: fill it, or leave the key out")
	}
	first := make(map[string]Pos, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if !s.key(key, path) {
			continue
		}
		at := join(path, key.Value)
		if before, twice := first[key.Value]; twice {
			s.fail(key, at, fmt.Sprintf("the key %s again, first at %s", Quote(key.Value), before))
			continue
		}
		first[key.Value] = place(key)
		s.node(value, at, depth+1)
	}
}

func (s *shapeCheck) key(key *yaml.Node, path string) bool {
	if !s.plain(key, path) {
		return false
	}
	switch {
	case key.Tag == "!!merge":
		s.fail(key, path, "a merge key, which is not allowed")
	case key.Kind != yaml.ScalarNode || key.Value == "" || !isString(key):
		s.fail(key, path, "a key that is not a plain word")
	default:
		s.scalar(key, path)
		return true
	}
	return false
}

func (s *shapeCheck) list(n *yaml.Node, path string, depth int) {
	if len(n.Content) == 0 {
		s.fail(n, path, "an empty list: fill it, or leave the key out")
	}
	for i, item := range n.Content {
		s.node(item, path+"["+strconv.Itoa(i)+"]", depth+1)
	}
}

func (s *shapeCheck) scalar(n *yaml.Node, path string) {
	if n.Tag == "!!null" {
		s.fail(n, path, "no value")
		return
	}
	// Escapes in double quotes can make characters that the source check did
	// not see. Line ends are fine in a value.
	if _, r, bad := hidden(strings.ReplaceAll(n.Value, "\n", "")); bad {
		s.fail(n, path, fmt.Sprintf("a value with the character %U, which does not show", r))
	}
}

// otherBool are the words that YAML 1.1 reads as true or false and YAML 1.2
// as text.
var otherBool = regexp.MustCompile(`^(?i:y|n|yes|no|on|off)$`)

// otherNumber are the numbers to the base of sixty that YAML 1.1 has and YAML
// 1.2 reads as text: 1000:50.
var otherNumber = regexp.MustCompile(`^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`)

// isString reports whether every reader takes the scalar for text.
func isString(n *yaml.Node) bool {
	quoted := n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	return quoted || n.Tag == "!!str" && !otherBool.MatchString(n.Value) && !otherNumber.MatchString(n.Value)
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + Quote(key) + "]"
	case path == "":
		return key
	default:
		return path + "." + key
	}
}
