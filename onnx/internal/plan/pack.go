package plan

import (
	"runtime"
	"slices"

	"github.com/blindbox/blindbox/onnx/internal/op"
	"github.com/blindbox/blindbox/onnx/tensor"
)

// Prune drops steps that no output needs, and the tensors that no step reads.
func (p *Program) Prune() {
	needed := make([]bool, len(p.Values))
	for _, id := range p.Outputs {
		needed[id] = true
	}
	kept := make([]Step, 0, len(p.Steps))
	for _, st := range slices.Backward(p.Steps) {
		if !slices.ContainsFunc(st.Out, func(id int) bool { return needed[id] }) {
			continue
		}
		for _, id := range st.In {
			if id >= 0 {
				needed[id] = true
			}
		}
		kept = append(kept, st)
	}
	slices.Reverse(kept)
	p.Steps = kept
	for id := range p.Values {
		if !needed[id] {
			p.Values[id].Info.Value = nil
		}
	}
}

// pack lets operators prepare themselves for their weights, and lets go of the
// weights that nobody reads any more. What is packed beside a weight that stays, since
// others read it too, may take as much again as all weights: a model must not make one
// matrix many.
func (p *Program) pack() error {
	readers, spare := p.Readers(), p.FixedBytes()
	alike, whole := p.addresses()
	var gone litter
	for i := range p.Steps {
		st := &p.Steps[i]
		packer, ok := st.Op.(op.Packer)
		if !ok {
			continue
		}
		beside := int64(0)
		fixed := func(i int) *tensor.Tensor {
			t := p.Fixed(st.In[i])
			if t == nil || readers[st.In[i]] == 1 {
				return t
			}
			if beside += t.Bytes(); beside > spare {
				return nil
			}
			return t
		}
		if o, ok := packer.(op.Overwriter); ok && whole {
			packer = o.Overwrite(func(i int) bool {
				t := p.Fixed(st.In[i])
				return t != nil && readers[st.In[i]] == 1 && alike[tensor.Address(t)] == 1
			})
		}
		packed, unread, err := packer.Pack(p.options.Level, fixed, p.infos(st.In))
		if err != nil {
			return failed(st.Node, err)
		}
		if packed == nil {
			continue
		}
		st.Op = packed
		spare -= beside
		for _, k := range unread {
			id := st.In[k]
			if readers[id]--; readers[id] == 0 {
				gone.add(p.Values[id].Info.Value)
				p.Values[id].Info.Value = nil
			}
		}
	}
	return nil
}

// litter is what weights leave behind that were packed elsewhere. The collector would
// wait until the heap is twice as large as the model.
type litter struct{ bytes int64 }

// litterAtMost is how much of it lies around: a collection takes a millisecond or two.
const litterAtMost = 16 << 20

func (l *litter) add(t *tensor.Tensor) {
	if l.bytes += t.Bytes(); l.bytes > litterAtMost {
		l.bytes = 0
		runtime.GC()
	}
}

// addresses counts the weights and constants that begin at the same place: those of
// a Reshape or an Identity share their memory. Whole is false if others may share it
// too: the graphs around and inside of this one, and lists.
func (p *Program) addresses() (alike map[uintptr]int, whole bool) {
	alike, whole = map[uintptr]int{}, !p.options.inner
	for i := range p.Steps {
		if _, ok := p.Steps[i].Op.(op.Maker); ok {
			whole = false
		}
	}
	for _, v := range p.Values {
		switch t := v.Info.Value; {
		case t == nil:
		case !t.Type.Element():
			whole = false
		default:
			alike[tensor.Address(t)]++
		}
	}
	return alike, whole
}

// Readers counts who reads each value: steps, and the caller.
func (p *Program) Readers() []int {
	readers := make([]int, len(p.Values))
	for _, st := range p.Steps {
		for _, id := range st.In {
			if id >= 0 {
				readers[id]++
			}
		}
	}
	for _, id := range p.Outputs {
		readers[id]++
	}
	return readers
}
