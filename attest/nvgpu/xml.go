package nvgpu

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The reader of manifests. It reads the part of XML 1.0 that NVIDIA's manifests
// are written in and refuses the rest: document types, entities but the five
// predefined ones, comments, CDATA and processing instructions. What it leaves
// out is what attacks on signed XML are made of, and two readers that agree on so
// little cannot disagree on what was signed.
const (
	maxDepth    = 16
	maxElements = 2048
	maxAttrs    = 64
	// Each name is looked up in every declaration around it, before anything was
	// verified.
	maxNamespaces = 8
)

// element is one element with its namespaces resolved.
type element struct {
	prefix, local, space string
	attrs                []attribute
	declared             []namespace // on this element, sorted by prefix
	content              []content
	parent               *element
}

type attribute struct {
	prefix, local, space, value string
}

type namespace struct {
	prefix, uri string
}

// content is an element or, if that is nil, text.
type content struct {
	child *element
	text  string
}

// xmlReader is a position in a document.
type xmlReader struct {
	rest  []byte
	total int
	count int
}

// parseXML returns the root element.
func parseXML(data []byte) (*element, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	// Line ends are one character to every reader (XML 1.0, 2.11).
	if bytes.IndexByte(data, '\r') >= 0 {
		data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
		data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	}
	r := &xmlReader{rest: data, total: len(data)}
	r.skipDeclaration()
	r.skipSpace()
	root, err := r.element(nil, 1)
	if err != nil {
		return nil, fmt.Errorf("at byte %d: %w", r.total-len(r.rest), err)
	}
	if r.skipSpace(); len(r.rest) != 0 {
		return nil, fmt.Errorf("%d bytes after the root element", len(r.rest))
	}
	return root, nil
}

// skipDeclaration passes over an XML declaration, which is no part of what is
// signed (Canonical XML 1.1, 1.1). Only those that change nothing are known.
func (r *xmlReader) skipDeclaration() {
	for _, d := range []string{
		`<?xml version="1.0"?>`, `<?xml version="1.0" encoding="UTF-8"?>`, `<?xml version="1.0" encoding="utf-8"?>`,
		`<?xml version='1.0' encoding='UTF-8'?>`, `<?xml version='1.0' encoding='utf-8'?>`,
	} {
		if r.take(d) {
			return
		}
	}
}

func (r *xmlReader) take(s string) bool {
	if !bytes.HasPrefix(r.rest, []byte(s)) {
		return false
	}
	r.rest = r.rest[len(s):]
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' }

// skipSpace reports whether there was any.
func (r *xmlReader) skipSpace() bool {
	n := 0
	for n < len(r.rest) && isSpace(r.rest[n]) {
		n++
	}
	r.rest = r.rest[n:]
	return n > 0
}

// name reads a name of ASCII characters with at most one colon.
func (r *xmlReader) name() (prefix, local string, err error) {
	n := 0
	for n < len(r.rest) && nameByte(r.rest[n]) {
		n++
	}
	full := string(r.rest[:n])
	r.rest = r.rest[n:]
	prefix, local, split := strings.Cut(full, ":")
	if !split {
		prefix, local = "", full
	}
	if !plainName(local) || split && !plainName(prefix) {
		return "", "", fmt.Errorf("%.40q is no name", full)
	}
	return prefix, local, nil
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == ':'
}

func plainName(s string) bool {
	return s != "" && !strings.Contains(s, ":") && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z' || s[0] == '_')
}

// element reads from "<" to the end of the element's end tag.
func (r *xmlReader) element(parent *element, depth int) (*element, error) {
	r.count++
	switch {
	case depth > maxDepth:
		return nil, fmt.Errorf("elements deeper than %d", maxDepth)
	case r.count > maxElements:
		return nil, fmt.Errorf("more than %d elements", maxElements)
	case !r.take("<"):
		return nil, errors.New("no element")
	}
	e := &element{parent: parent}
	var err error
	if e.prefix, e.local, err = r.name(); err != nil {
		return nil, err
	}
	empty, err := r.attributes(e)
	if err != nil {
		return nil, err
	}
	if err := e.resolve(); err != nil {
		return nil, err
	}
	if empty {
		return e, nil
	}
	return e, r.content(e, depth)
}

// attributes reads up to the end of the start tag and reports whether the
// element is empty.
func (r *xmlReader) attributes(e *element) (empty bool, err error) {
	for {
		spaced := r.skipSpace()
		switch {
		case r.take("/>"):
			return true, nil
		case r.take(">"):
			return false, nil
		case !spaced:
			return false, errors.New("tag is not closed")
		case len(e.attrs)+len(e.declared) >= maxAttrs:
			return false, fmt.Errorf("more than %d attributes", maxAttrs)
		}
		var a attribute
		if a.prefix, a.local, err = r.name(); err != nil {
			return false, err
		}
		if a.value, err = r.value(); err != nil {
			return false, err
		}
		if err := e.add(a); err != nil {
			return false, err
		}
	}
}

// value reads an equals sign and a quoted value. White space in it is one space
// per character (XML 1.0, 3.3.3).
func (r *xmlReader) value() (string, error) {
	if !r.take("=") || len(r.rest) == 0 || r.rest[0] != '"' && r.rest[0] != '\'' {
		return "", errors.New("attribute without a quoted value")
	}
	end := bytes.IndexByte(r.rest[1:], r.rest[0])
	if end < 0 {
		return "", errors.New("attribute value is not closed")
	}
	raw := string(r.rest[1 : 1+end])
	r.rest = r.rest[end+2:]
	if strings.Contains(raw, "<") {
		return "", errors.New("attribute value with <")
	}
	if strings.ContainsAny(raw, "\t\n") {
		raw = strings.NewReplacer("\t", " ", "\n", " ").Replace(raw)
	}
	return unescape(raw)
}

// add keeps an attribute or a namespace declaration. One of the namespace xml is
// refused where prefixes are looked up, since nobody may declare that one.
func (e *element) add(a attribute) error {
	switch {
	case a.prefix == "" && a.local == "xmlns":
		return e.declare("", a.value)
	case a.prefix == "xmlns":
		return e.declare(a.local, a.value)
	}
	e.attrs = append(e.attrs, a)
	return nil
}

func (e *element) declare(prefix, uri string) error {
	switch {
	case prefix != "" && uri == "":
		return fmt.Errorf("prefix %.40q without a namespace", prefix)
	case strings.HasPrefix(strings.ToLower(prefix), "xml"):
		return fmt.Errorf("prefix %.40q is reserved", prefix)
	case slices.ContainsFunc(e.declared, func(n namespace) bool { return n.prefix == prefix }):
		return fmt.Errorf("prefix %.40q declared twice", prefix)
	case len(e.declared) == maxNamespaces:
		return fmt.Errorf("more than %d namespaces", maxNamespaces)
	}
	e.declared = append(e.declared, namespace{prefix, uri})
	return nil
}

// resolve looks up the namespaces of the element and its attributes. Those
// without a prefix are in no namespace (Namespaces in XML 1.0, 6.2).
func (e *element) resolve() error {
	slices.SortFunc(e.declared, func(a, b namespace) int { return strings.Compare(a.prefix, b.prefix) })
	space, found := e.lookup(e.prefix)
	if !found && e.prefix != "" {
		return fmt.Errorf("prefix %.40q is not declared", e.prefix)
	}
	e.space = space
	for i := range e.attrs {
		a := &e.attrs[i]
		if a.prefix == "" {
			continue
		}
		if a.space, found = e.lookup(a.prefix); !found {
			return fmt.Errorf("prefix %.40q is not declared", a.prefix)
		}
	}
	// In the order of Canonical XML 1.1, 2.2; equal neighbours are duplicates.
	slices.SortFunc(e.attrs, func(a, b attribute) int {
		if c := strings.Compare(a.space, b.space); c != 0 {
			return c
		}
		return strings.Compare(a.local, b.local)
	})
	for i := 1; i < len(e.attrs); i++ {
		if e.attrs[i].space == e.attrs[i-1].space && e.attrs[i].local == e.attrs[i-1].local {
			return fmt.Errorf("attribute %.40q twice", e.attrs[i].local)
		}
	}
	return nil
}

// lookup returns what a prefix stands for at e.
func (e *element) lookup(prefix string) (uri string, found bool) {
	for ; e != nil; e = e.parent {
		for _, n := range e.declared {
			if n.prefix == prefix {
				return n.uri, true
			}
		}
	}
	return "", false
}

// content reads text and elements up to and with the end tag of e.
func (r *xmlReader) content(e *element, depth int) error {
	for {
		open := bytes.IndexByte(r.rest, '<') // if there is none, neither is a child
		if open > 0 {
			text, err := unescape(string(r.rest[:open]))
			if err != nil {
				return err
			}
			e.content = append(e.content, content{text: text})
			r.rest = r.rest[open:]
		}
		if bytes.HasPrefix(r.rest, []byte("</")) {
			return r.endTag(e)
		}
		child, err := r.element(e, depth+1)
		if err != nil {
			return err
		}
		e.content = append(e.content, content{child: child})
	}
}

func (r *xmlReader) endTag(e *element) error {
	r.take("</")
	prefix, local, _ := r.name() // empty, which no element is called, if it is none
	r.skipSpace()
	if prefix != e.prefix || local != e.local || !r.take(">") {
		return fmt.Errorf("element %.40q is closed by another tag", e.local)
	}
	return nil
}

// unescape replaces the five predefined entities and refuses what XML does not
// allow in text.
func unescape(s string) (string, error) {
	for _, c := range s {
		if c < ' ' && c != '\t' && c != '\n' || c == 0xfffe || c == 0xffff {
			return "", fmt.Errorf("character %U", c)
		}
	}
	if strings.Contains(s, "]]>") {
		return "", errors.New("text with ]]>")
	}
	if !strings.Contains(s, "&") {
		return s, nil
	}
	var out strings.Builder
	for {
		text, rest, found := strings.Cut(s, "&")
		out.WriteString(text)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, ";")
		i := slices.Index([]string{"amp", "lt", "gt", "quot", "apos"}, name)
		if i < 0 || !closed {
			return "", fmt.Errorf("entity %.20q", name)
		}
		out.WriteByte("&<>\"'"[i])
		s = after
	}
}

// attr returns the value of the attribute in a namespace.
func (e *element) attr(space, local string) (string, bool) {
	for _, a := range e.attrs {
		if a.space == space && a.local == local {
			return a.value, true
		}
	}
	return "", false
}

// is reports whether e has that name.
func (e *element) is(space, local string) bool { return e.space == space && e.local == local }

// children returns the child elements and an error if there is other text
// between them than white space.
func (e *element) children() ([]*element, error) {
	var out []*element
	for _, c := range e.content {
		switch {
		case c.child != nil:
			out = append(out, c.child)
		case strings.Trim(c.text, " \t\n") != "":
			return nil, fmt.Errorf("text %.20q in element %.40q", strings.TrimSpace(c.text), e.local)
		}
	}
	return out, nil
}

// onlyText returns the text of an element that has no child and no attribute.
func (e *element) onlyText() (string, error) {
	if len(e.attrs) != 0 || len(e.content) > 1 || len(e.content) == 1 && e.content[0].child != nil {
		return "", fmt.Errorf("element %.40q holds more than text", e.local)
	}
	if len(e.content) == 0 {
		return "", nil
	}
	return e.content[0].text, nil
}
