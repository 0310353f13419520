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

// pinned is the image of a policy that has no digest yet, or another one.
type pinned struct {
	image               string
	imageKey, imageNode *yaml.Node
	digestNode          *yaml.Node // nil if there is none
	flow                bool
}

// findImage looks for app.image and app.digest. The rest of the document need
// not be a policy yet: without a digest it is none.
func findImage(doc []byte) (*pinned, error) {
	root, err := parseYAML(doc)
	if err != nil {
		return nil, err
	}
	_, app := member(root, "app")
	if app == nil || app.Kind != yaml.MappingNode {
		return nil, errors.New("no app in it")
	}
	key, image := member(app, "image")
	if image == nil || image.Kind != yaml.ScalarNode || image.Value == "" {
		return nil, errors.New("no image in its app")
	}
	p := &pinned{image: image.Value, imageNode: image, imageKey: key, flow: app.Style&yaml.FlowStyle != 0}
	if _, p.digestNode = member(app, "digest"); p.digestNode != nil && p.digestNode.Kind != yaml.ScalarNode {
		return nil, errors.New("the digest of its app is no text")
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

// withDigest returns the document with the digest in it. Not one byte else is
// changed: comments, order and form are the author's. The result is read again
// and compared, and there is none if it says anything else than before.
func withDigest(doc []byte, digest string) ([]byte, error) {
	p, err := findImage(doc)
	if err != nil {
		return nil, err
	}
	out, err := p.edit(doc, digest)
	if err != nil {
		return nil, err
	}
	if err := sameBut(doc, out, digest); err != nil {
		return nil, err
	}
	return out, nil
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

// sameBut checks that two documents say the same but for the digest.
func sameBut(before, after []byte, digest string) error {
	was, err := values(before)
	if err != nil {
		return err
	}
	is, err := values(after)
	if err != nil {
		return fmt.Errorf("the digest cannot be written into this form: %w", err)
	}
	app, ok := was["app"].(map[string]any)
	if !ok {
		return errors.New("no app in it")
	}
	app["digest"] = digest
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
