package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/op"
)

// tenant is a value, or scratch memory (-1), in the arena for some steps.
type tenant struct {
	id            int
	offset, bytes int64
	from, to      int // the steps that write it first and read it last
}

// Verify holds the plan of the arena against the steps: no two things that are alive in
// one step share memory, unless the operator says that its result may take an operand's
// place, and nothing reaches beyond the end. It finds out by itself how long values
// live, and costs far more than planning did; it is for tests.
func (b *Bound) Verify() error {
	all := b.tenants()
	for i := range b.steps {
		var alive []tenant
		for _, t := range all {
			if t.from <= i && i <= t.to {
				alive = append(alive, t)
			}
		}
		if err := b.apart(i, alive); err != nil {
			return fmt.Errorf("step %d (%s): %w", i, b.steps[i].Node.Op, err)
		}
	}
	return nil
}

// tenants lists what lies in the arena, with the steps that it is there for.
func (b *Bound) tenants() []tenant {
	at := map[int]int{} // of each value, its place in the list
	var all []tenant
	for i := range b.steps {
		st := &b.steps[i]
		for _, id := range st.In {
			if id < 0 {
				continue
			}
			if k, ok := at[b.values[id].root]; ok {
				all[k].to = i
			}
		}
		for _, id := range st.Out {
			if v := &b.values[id]; v.place == arena {
				at[id] = len(all)
				all = append(all, tenant{id, v.offset, bytesOf(v.info), i, i})
			}
		}
		if st.scratch > 0 {
			all = append(all, tenant{-1, st.offset, 4 * st.scratch, i, i})
		}
	}
	for _, id := range b.results {
		if k, ok := at[b.values[id].root]; ok {
			all[k].to = len(b.steps)
		}
	}
	return all
}

// apart compares what is alive in a step with its neighbours in the arena.
func (b *Bound) apart(step int, alive []tenant) error {
	slices.SortFunc(alive, func(x, y tenant) int { return cmp.Or(cmp.Compare(x.offset, y.offset), cmp.Compare(x.bytes, y.bytes)) })
	end, last := int64(0), tenant{id: -1}
	for _, t := range alive {
		if t.bytes == 0 {
			continue
		}
		if t.offset < 0 || t.bytes < 0 || t.bytes > b.arena-t.offset {
			return fmt.Errorf("value %d has %d bytes from %d on, the arena has %d", t.id, t.bytes, t.offset, b.arena)
		}
		if t.offset < end && !b.mayShare(step, last, t) && !b.mayShare(step, t, last) {
			return fmt.Errorf("values %d and %d have bytes in common, from %d on", last.id, t.id, t.offset)
		}
		if t.offset+t.bytes > end {
			end, last = t.offset+t.bytes, t
		}
	}
	return nil
}

// mayShare says whether a result of the step may be where an operand is.
func (b *Bound) mayShare(step int, operand, result tenant) bool {
	st := &b.steps[step]
	o, ok := st.Op.(op.InPlacer)
	if !ok || operand.id < 0 || result.id != st.Out[0] || operand.offset != result.offset || operand.bytes != result.bytes || operand.to != step {
		return false
	}
	read := 0
	may := false
	for k, id := range st.In {
		if id >= 0 && b.values[id].root == operand.id {
			read++
			may = may || slices.Contains(o.InPlace(), k)
		}
	}
	return may && read == 1
}
