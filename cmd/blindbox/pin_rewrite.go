package main

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// pinned is an image of a policy that has no digest yet, or another one.
type pinned struct {
	service             string // "" for the app
	image               string
	imageKey, imageNode *yaml.Node
	digestNode          *yaml.Node // nil if there is none
	flow                bool
}

// findImages looks for image and digest of app, then of each of services. The rest
// of the document need not be a policy yet: without digests it is none.
func findImages(doc []byte) ([]*pinned, error) {
	root, err := parseYAML(doc)
	if err != nil {
		return nil, err
	}
	_, app := member(root, "app")
	if app == nil || app.Kind != yaml.MappingNode {
		return nil, errors.New("no app in it")
	}
	first, err := imageOf(app, "its app")
	if err != nil {
		return nil, err
	}
	all := []*pinned{first}
	_, services := member(root, "services")
	if services == nil {
		return all, nil
	}
	if services.Kind != yaml.SequenceNode {
		return nil, errors.New("services is no list")
	}
	for _, s := range services.Content {
		_, name := member(s, "name")
		if s.Kind != yaml.MappingNode || name == nil || name.Value == "" {
			return nil, fmt.Errorf("line %d: a service without a name", s.Line)
		}
		p, err := imageOf(s, "its service "+name.Value)
		if err != nil {
			return nil, err
		}
		p.service = name.Value
		all = append(all, p)
	}
	return all, nil
}

// imageOf looks for image and digest of a program.
func imageOf(program *yaml.Node, what string) (*pinned, error) {
	key, image := member(program, "image")
	if image == nil || image.Kind != yaml.ScalarNode || image.Value == "" {
		return nil, errors.New("no image in " + what)
	}
	p := &pinned{image: image.Value, imageNode: image, imageKey: key, flow: program.Style&yaml.FlowStyle != 0}
	if _, p.digestNode = member(program, "digest"); p.digestNode != nil && p.digestNode.Kind != yaml.ScalarNode {
		return nil, errors.New("the digest of " + what + " is no text")
	}
	return p, nil
}

func parseYAML(doc []byte) (*yaml.Node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(doc, &root); err != nil {
		return nil, err
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("it is no mapping")
	}
	return root.Content[0], nil
}

// member finds a key of a mapping.
func member(n *yaml.Node, key string) (k, v *yaml.Node) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// withDigests returns the document with the digests in it, in the order of
// findImages. Not one byte else is changed: comments, order and form are the
// author's. The result is read again and compared, and there is none if it says
// anything else than before.
func withDigests(doc []byte, digests []string) ([]byte, error) {
	for i, digest := range digests {
		all, err := findImages(doc)
		if err != nil {
			return nil, err
		}
		out, err := all[i].edit(doc, digest)
		if err != nil {
			return nil, err
		}
		if err := sameBut(doc, out, i, digest); err != nil {
			return nil, err
		}
		doc = out
	}
	return doc, nil
}

func (p *pinned) edit(doc []byte, digest string) ([]byte, error) {
	if p.digestNode != nil {
		start, end, err := tokenOf(doc, p.digestNode)
		if err != nil {
			return nil, err
		}
		return splice(doc, start, end, digest), nil
	}
	_, end, err := tokenOf(doc, p.imageNode)
	if err != nil {
		return nil, err
	}
	if p.flow {
		return splice(doc, end, end, ", digest: "+digest), nil
	}
	// A line of its own behind the image's, comment included.
	if next := bytes.IndexByte(doc[end:], '\n'); next >= 0 {
		end += next
	} else {
		end = len(doc)
	}
	newline := "\n"
	if end > 0 && doc[end-1] == '\r' {
		end--
		newline = "\r\n"
	}
	return splice(doc, end, end, newline+strings.Repeat(" ", p.imageKey.Column-1)+"digest: "+digest), nil
}

func splice(doc []byte, start, end int, text string) []byte {
	return append(append(bytes.Clone(doc[:start]), text...), doc[end:]...)
}

// tokenOf finds the bytes of a scalar that is written on one line.
func tokenOf(doc []byte, n *yaml.Node) (start, end int, err error) {
	start = offset(doc, n.Line, n.Column)
	rest := doc[start:]
	switch {
	case n.Style == yaml.DoubleQuotedStyle || n.Style == yaml.SingleQuotedStyle:
		quoted := string(rest[0]) + n.Value + string(rest[0])
		if bytes.HasPrefix(rest, []byte(quoted)) {
			return start, start + len(quoted), nil
		}
	case n.Style == 0 && n.Value != "" && bytes.HasPrefix(rest, []byte(n.Value)):
		return start, start + len(n.Value), nil
	}
	return 0, 0, fmt.Errorf("line %d: write the image and its digest plainly, on one line each", n.Line)
}

// offset turns a line and a column, in characters, into a place in the bytes.
func offset(doc []byte, line, column int) int {
	at := 0
	for range line - 1 {
		at += bytes.IndexByte(doc[at:], '\n') + 1
	}
	for range column - 1 {
		_, size := utf8.DecodeRune(doc[at:])
		at += size
	}
	return min(at, len(doc)-1)
}

// sameBut checks that two documents say the same but for the digest of one program.
func sameBut(before, after []byte, i int, digest string) error {
	was, err := values(before)
	if err != nil {
		return err
	}
	is, err := values(after)
	if err != nil {
		return fmt.Errorf("the digest cannot be written into this form: %w", err)
	}
	program, ok := was["app"].(map[string]any)
	if services, _ := was["services"].([]any); i > 0 && i <= len(services) {
		program, ok = services[i-1].(map[string]any)
	}
	if !ok {
		return errors.New("no app in it")
	}
	program["digest"] = digest
	if !reflect.DeepEqual(was, is) {
		return errors.New("the digest cannot be written into this form; write image and digest on a line each")
	}
	return nil
}

func values(doc []byte) (map[string]any, error) {
	var out map[string]any
	if err := yaml.Unmarshal(doc, &out); err != nil {
		return nil, err
	}
	return out, nil
}
