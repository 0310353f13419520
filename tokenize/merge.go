package tokenize

// symbol is a token of a word while it is merged: a link of a list. One without a
// length was merged into the one before it.
type symbol struct{ id, previous, next, length int32 }

func add(word []symbol, id, length int32) []symbol {
	at := int32(len(word))
	if at > 0 {
		word[at-1].next = at
	}
	return append(word, symbol{id, at - 1, none, length})
}

// candidate is a merge that can be done: of the symbol at a place and the next.
type candidate struct{ rank, at, id int32 }

func (c candidate) before(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

// mergeAll does the merges of a word, the first of the file first. The candidates are
// in a heap, so that a long word takes n log n.
func (m *bpe) mergeAll(w *work, word []symbol) ([]symbol, error) {
	var room [32]candidate
	queue := heap(room[:0])
	for i := range len(word) - 1 {
		if g, ok := m.merges[pair{word[i].id, word[i+1].id}]; ok {
			queue.push(candidate{g.rank, int32(i), g.id})
		}
	}
	for len(queue) > 0 {
		if err := w.look(); err != nil {
			return nil, err
		}
		c := queue.pop()
		left := &word[c.at]
		if left.length == 0 || left.next == none {
			continue
		}
		right := &word[left.next]
		if g, ok := m.merges[pair{left.id, right.id}]; !ok || g.id != c.id {
			continue // something else was merged here since
		}
		left.id, left.length, left.next = c.id, left.length+right.length, right.next
		right.length = 0
		if left.next != none {
			word[left.next].previous = c.at
			m.offer(&queue, word, c.at)
		}
		if left.previous != none {
			m.offer(&queue, word, left.previous)
		}
	}
	return word, nil
}

// offer adds the merge of the symbol at a place and the next, if there is one.
func (m *bpe) offer(queue *heap, word []symbol, at int32) {
	if g, ok := m.merges[pair{word[at].id, word[word[at].next].id}]; ok {
		queue.push(candidate{g.rank, at, g.id})
	}
}

// heap is a binary heap of candidates, the first on top.
type heap []candidate

func (h *heap) push(c candidate) {
	*h = append(*h, c)
	q := *h
	i := len(q) - 1
	for i > 0 && c.before(q[(i-1)/2]) {
		q[i] = q[(i-1)/2]
		i = (i - 1) / 2
	}
	q[i] = c
}

func (h *heap) pop() candidate {
	q := *h
	top, last := q[0], q[len(q)-1]
	q = q[:len(q)-1]
	*h = q
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < len(q) && q[child+1].before(q[child]) {
			child++
		}
		if child >= len(q) || !q[child].before(last) {
			if i < len(q) {
				q[i] = last
			}
			return top
		}
		q[i] = q[child]
		i = child
	}
}
