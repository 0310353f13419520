package plan

import (
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// layout gives every value in the arena its place: memory is reused as soon as the
// last step that reads it is over, and a result takes the place of an operand where
// the operator allows it.
func (b *Bound) layout() error {
	var space space
	b.copies()
	dying := make([][]int, len(b.steps)+1)
	for i := range b.steps {
		st := &b.steps[i]
		for _, id := range st.Out {
			v := &b.values[id]
			if v.place != arena {
				b.count(v)
				continue
			}
			if from := b.inPlace(st, i, id); from >= 0 {
				b.take(from, id, dying)
				continue
			}
			v.offset = space.take(bytesOf(v.info))
			dying[v.last] = append(dying[v.last], id)
		}
		if st.scratch > 0 {
			st.offset = space.take(4 * st.scratch)
			space.give(st.offset, 4*st.scratch)
		}
		for _, id := range dying[i] {
			space.give(b.values[id].offset, bytesOf(b.values[id].info))
		}
		if most := b.program.options.Limits.Bytes; b.outputs > most-space.top {
			return fmt.Errorf("%w: the run takes more than %d bytes for its tensors", ErrLimit, most)
		}
	}
	b.arena = space.top
	return nil
}

// copies adds outputs that are copied for the caller, since something else is in the same
// memory. How large lists are shows in the run.
func (b *Bound) copies() {
	for i, id := range b.results {
		v := b.values[id].info
		switch {
		case b.owned[i]:
		case v.Type.Element() && v.Complete():
			b.outputs += bytesOf(v)
		default:
			b.exact = false
		}
	}
}

// count adds what lies outside of the arena.
func (b *Bound) count(v *boundValue) {
	if v.place == heap {
		b.outputs += bytesOf(v.info)
	}
}

func bytesOf(v op.Info) int64 { return elements(v.Shape) * v.Type.Size() }

// inPlace finds an operand whose place the result may take: -1 if there is none.
func (b *Bound) inPlace(st *boundStep, at, result int) int {
	o, ok := st.Op.(op.InPlacer)
	if !ok || result != st.Out[0] {
		return -1
	}
	for _, k := range o.InPlace() {
		if k >= len(st.In) || st.In[k] < 0 {
			continue
		}
		root := b.values[st.In[k]].root
		v := &b.values[root]
		twice := 0
		for _, id := range st.In {
			if id >= 0 && b.values[id].root == root {
				twice++
			}
		}
		if v.place == arena && v.last == at && twice == 1 && bytesOf(v.info) == bytesOf(b.values[result].info) {
			return root
		}
	}
	return -1
}

// take moves the place of value from to value to, which dies later.
func (b *Bound) take(from, to int, dying [][]int) {
	v := &b.values[to]
	v.offset = b.values[from].offset
	at := b.values[from].last
	dying[at] = slices.DeleteFunc(dying[at], func(id int) bool { return id == from })
	dying[v.last] = append(dying[v.last], to)
}

// space hands out stretches of an arena. Free ones are kept in order of their offset,
// and joined.
type space struct {
	top  int64
	free []stretch
}

type stretch struct{ offset, bytes int64 }

func aligned(bytes int64) int64 {
	return (max(bytes, 1) + tensor.Alignment - 1) / tensor.Alignment * tensor.Alignment
}

// take finds the smallest free stretch that is large enough, or grows the arena.
func (s *space) take(bytes int64) int64 {
	bytes = aligned(bytes)
	best := -1
	for i, f := range s.free {
		if f.bytes >= bytes && (best < 0 || f.bytes < s.free[best].bytes) {
			best = i
		}
	}
	if best < 0 {
		return s.grow(bytes)
	}
	f := &s.free[best]
	offset := f.offset
	f.offset += bytes
	f.bytes -= bytes
	if f.bytes == 0 {
		s.free = slices.Delete(s.free, best, best+1)
	}
	return offset
}

// grow makes the arena larger, beginning with a free stretch at its end.
func (s *space) grow(bytes int64) int64 {
	if n := len(s.free); n > 0 && s.free[n-1].offset+s.free[n-1].bytes == s.top {
		offset := s.free[n-1].offset
		s.free = s.free[:n-1]
		s.top = offset + bytes
		return offset
	}
	offset := s.top
	s.top += bytes
	return offset
}

// give takes a stretch back and joins it with its neighbours.
func (s *space) give(offset, bytes int64) {
	bytes = aligned(bytes)
	i, _ := slices.BinarySearchFunc(s.free, offset, func(f stretch, o int64) int { return int(f.offset - o) })
	s.free = slices.Insert(s.free, i, stretch{offset, bytes})
	if i+1 < len(s.free) && s.free[i].offset+s.free[i].bytes == s.free[i+1].offset {
		s.free[i].bytes += s.free[i+1].bytes
		s.free = slices.Delete(s.free, i+1, i+2)
	}
	if i > 0 && s.free[i-1].offset+s.free[i-1].bytes == s.free[i].offset {
		s.free[i-1].bytes += s.free[i].bytes
		s.free = slices.Delete(s.free, i, i+1)
	}
}
