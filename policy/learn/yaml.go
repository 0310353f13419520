package learn

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/blindbox/blindbox/policy"
)

// The document is edited as a tree that keeps comments, and parsed again by package
// policy when it was written: whatever this file does, what comes out is a policy or
// an error.

func readDocument(p *policy.Policy) (*yaml.Node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(p.Bytes(), &doc); err != nil {
		return nil, fmt.Errorf("learn: %w", err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("learn: the document is no mapping")
	}
	return &doc, nil
}

func written(doc *yaml.Node) (*policy.Policy, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(doc), e.Close()); err != nil {
		return nil, fmt.Errorf("learn: %w", err)
	}
	p, err := policy.Parse(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("learn: what was learned is no policy: %w", err)
	}
	return p, nil
}

func find(m *yaml.Node, key string) *yaml.Node {
	for i := 0; m != nil && i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

// set replaces a value where it stands, or adds it at the end. The comments of the
// key stay.
func set(m *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content[i+1] = value
			return
		}
	}
	m.Content = append(m.Content, plain(key), value)
}

func remove(m *yaml.Node, key string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content = append(m.Content[:i], m.Content[i+2:]...)
			return
		}
	}
}

// over puts a comment on the lines before a key.
func over(m *yaml.Node, key, comment string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if k := m.Content[i]; k.Value == key {
			k.HeadComment = joined(k.HeadComment, comment)
		}
	}
}

func joined(before, comment string) string {
	if before == "" {
		return "# " + comment
	}
	return before + "\n# " + comment
}

func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

// quoted is for what comes from somewhere else: nothing in it means anything.
func quoted(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
}

// beside puts a comment behind a value. What comes from the app or a caller must not
// end the line.
func beside(n *yaml.Node, format string, args ...any) *yaml.Node {
	n.LineComment = "# " + oneLine(fmt.Sprintf(format, args...))
	return n
}

func oneLine(s string) string {
	const most = 200
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), most)]
}

func mapping(pairs ...any) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i+1 < len(pairs); i += 2 {
		set(m, pairs[i].(string), pairs[i+1].(*yaml.Node))
	}
	return m
}

func list(items []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, s := range items {
		n.Content = append(n.Content, plain(s))
	}
	return n
}
