package tokenize

import (
	"cmp"
	"slices"
	"strings"
)

// trie finds which strings of a set a text begins with.
type trie struct {
	nodes []node
	root  [256]int32 // child of the root, or 0
}

// node is a string that strings of the set begin with. Its children stand side by side,
// in the order of their bytes.
type node struct {
	children int32
	count    uint16
	label    byte
	id       int32 // of the string that ends here, or none
}

// entry is a string of a set, and what it stands for.
type entry struct {
	text string
	id   int32
}

// newTrie makes a trie. Of two equal strings the later counts; the empty one does not.
func newTrie(in *reading, entries []entry) (*trie, error) {
	if err := in.use(len(entries), entryBytes); err != nil {
		return nil, err
	}
	sorted := slices.Clone(entries)
	slices.SortStableFunc(sorted, func(a, b entry) int { return strings.Compare(a.text, b.text) })
	size := nodes(sorted)
	if err := in.keep(size, nodeBytes); err != nil {
		return nil, err
	}
	t := &trie{nodes: append(make([]node, 0, size), node{id: none})}
	type task struct {
		node          int32
		lo, hi, depth int
	}
	for todo := []task{{0, 0, len(sorted), 0}}; len(todo) > 0; {
		if err := in.look(len(t.nodes)); err != nil {
			return nil, err
		}
		k := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for k.lo < k.hi && len(sorted[k.lo].text) == k.depth {
			if k.depth > 0 {
				t.nodes[k.node].id = sorted[k.lo].id
			}
			k.lo++
		}
		t.nodes[k.node].children = int32(len(t.nodes))
		for lo := k.lo; lo < k.hi; {
			label := sorted[lo].text[k.depth]
			hi := lo + 1
			for hi < k.hi && sorted[hi].text[k.depth] == label {
				hi++
			}
			todo = append(todo, task{int32(len(t.nodes)), lo, hi, k.depth + 1})
			t.nodes = append(t.nodes, node{label: label, id: none})
			t.nodes[k.node].count++
			lo = hi
		}
	}
	for i := range int32(t.nodes[0].count) {
		at := t.nodes[0].children + i
		t.root[t.nodes[at].label] = at
	}
	return t, nil
}

// nodes is how many nodes sorted strings have: one for each way in which one begins, and
// the root.
func nodes(sorted []entry) int {
	n, last := 1, ""
	for _, e := range sorted {
		same := 0
		for same < min(len(last), len(e.text)) && last[same] == e.text[same] {
			same++
		}
		n, last = n+len(e.text)-same, e.text
	}
	return n
}

// step returns the child of node at for byte b, or 0.
func (t *trie) step(at int32, b byte) int32 {
	if at == 0 {
		return t.root[b]
	}
	n := &t.nodes[at]
	children := t.nodes[n.children : n.children+int32(n.count)]
	if len(children) > 8 {
		i, ok := slices.BinarySearchFunc(children, b, func(n node, b byte) int { return cmp.Compare(n.label, b) })
		if !ok {
			return 0
		}
		return n.children + int32(i)
	}
	for i := range children {
		if children[i].label == b {
			return n.children + int32(i)
		}
	}
	return 0
}

// longest returns the longest string of the set that s begins with, and its length.
func (t *trie) longest(s string) (id int32, length int) {
	id = none
	at := int32(0)
	for i := range len(s) {
		if at = t.step(at, s[i]); at == 0 {
			break
		}
		if t.nodes[at].id != none {
			id, length = t.nodes[at].id, i+1
		}
	}
	return id, length
}

// find returns what a string stands for, or none.
func (t *trie) find(s string) int32 {
	at := int32(0)
	for i := range len(s) {
		if at = t.step(at, s[i]); at == 0 {
			return none
		}
	}
	return t.nodes[at].id
}
