package nvgpu

import (
	"slices"
	"strings"
)

// canonical returns the canonical form of e and all that is in it but the
// element omit (Canonical XML 1.1, inclusive, without comments). Of what 1.1 says
// about attributes of the namespace xml nothing applies: the reader refuses them.
func canonical(e, omit *element) []byte {
	w := &canonicalizer{omit: omit, out: make([]byte, 0, 1<<10)}
	w.element(e, true)
	return w.out
}

type canonicalizer struct {
	out  []byte
	omit *element
}

func (w *canonicalizer) element(e *element, apex bool) {
	if e == w.omit {
		return
	}
	w.out = append(w.out, '<')
	w.name(e)
	for _, n := range e.namespaces(apex) {
		w.out = append(w.out, " xmlns"...)
		if n.prefix != "" {
			w.out = append(append(w.out, ':'), n.prefix...)
		}
		w.value(n.uri)
	}
	for _, a := range e.attrs {
		w.out = append(w.out, ' ')
		if a.prefix != "" {
			w.out = append(append(w.out, a.prefix...), ':')
		}
		w.out = append(w.out, a.local...)
		w.value(a.value)
	}
	w.out = append(w.out, '>')
	for _, c := range e.content {
		if c.child != nil {
			w.element(c.child, false)
		} else {
			w.text(c.text)
		}
	}
	w.out = append(w.out, "</"...)
	w.name(e)
	w.out = append(w.out, '>')
}

func (w *canonicalizer) name(e *element) {
	if e.prefix != "" {
		w.out = append(append(w.out, e.prefix...), ':')
	}
	w.out = append(w.out, e.local...)
}

// namespaces returns the declarations that are written on e: at the apex all
// that are in scope, below it those that change something (2.3, namespace axis).
func (e *element) namespaces(apex bool) []namespace {
	if !apex {
		return slices.DeleteFunc(slices.Clone(e.declared), func(n namespace) bool {
			uri, _ := e.parent.lookup(n.prefix)
			return uri == n.uri
		})
	}
	var out []namespace
	for at := e; at != nil; at = at.parent {
		for _, n := range at.declared {
			if !slices.ContainsFunc(out, func(o namespace) bool { return o.prefix == n.prefix }) {
				out = append(out, n)
			}
		}
	}
	out = slices.DeleteFunc(out, func(n namespace) bool { return n.uri == "" })
	slices.SortFunc(out, func(a, b namespace) int { return strings.Compare(a.prefix, b.prefix) })
	return out
}

// value writes an attribute's value, escaped as 2.3 says of attribute nodes.
// The reader lets no tab, line feed or carriage return into one.
func (w *canonicalizer) value(s string) {
	w.out = append(w.out, `="`...)
	for _, c := range []byte(s) {
		switch c {
		case '&':
			w.out = append(w.out, "&amp;"...)
		case '<':
			w.out = append(w.out, "&lt;"...)
		case '"':
			w.out = append(w.out, "&quot;"...)
		default:
			w.out = append(w.out, c)
		}
	}
	w.out = append(w.out, '"')
}

// text writes a text node, escaped as 2.3 says.
func (w *canonicalizer) text(s string) {
	for _, c := range []byte(s) {
		switch c {
		case '&':
			w.out = append(w.out, "&amp;"...)
		case '<':
			w.out = append(w.out, "&lt;"...)
		case '>':
			w.out = append(w.out, "&gt;"...)
		default:
			w.out = append(w.out, c)
		}
	}
}
