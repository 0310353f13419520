package plan

import (
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
	all := p.FixedBytes()
	k := &packing{Program: p, readers: p.Readers(), all: all, spare: all}
	k.alike, k.whole = p.addresses()
	k.gathers = k.followers()
	for i := range p.Steps {
		if err := p.Err(); err != nil {
			return err
		}
		if err := k.step(&p.Steps[i]); err != nil {
			return failed(p.Steps[i].Node, err)
		}
	}
	p.weights = all + all - k.spare + k.grown
	return nil
}

// packing is what is known while weights are laid out.
type packing struct {
	*Program
	readers []int
	all     int64           // bytes of all weights before
	spare   int64           // bytes that may still be taken beside weights that stay
	grown   int64           // bytes that prepared forms take more than what they stand for
	alike   map[uintptr]int // see addresses
	whole   bool
	gathers map[int][]*Step // of each weight, the followers that read it
}

// step lets one operator prepare itself.
func (k *packing) step(st *Step) error {
	packer, ok := st.Op.(op.Packer)
	if !ok {
		return nil
	}
	if o, ok := packer.(op.Grower); ok && o.WillPack(k.options.Level, k.infos(st.In)) > k.room()-k.grown {
		return nil // each run lays them out in memory of its own, which its limits count
	}
	alone := func(i int) bool { return k.readers[st.In[i]] == 1+len(k.following(st, i)) }
	beside := int64(0)
	fixed := func(i int) *tensor.Tensor {
		t := k.Fixed(st.In[i])
		if t == nil || alone(i) {
			return t
		}
		if beside += t.Bytes(); beside > k.spare {
			return nil
		}
		return t
	}
	if o, ok := packer.(op.Overwriter); ok && k.whole {
		packer = o.Overwrite(func(i int) bool {
			t := k.Fixed(st.In[i])
			return t != nil && alone(i) && k.alike[tensor.Address(t)] == 1
		})
	}
	packed, unread, err := packer.Pack(k.on(), fixed, k.infos(st.In))
	if err != nil || packed == nil {
		return err
	}
	k.spare -= beside
	k.grown += k.growth(st, unread, packed)
	for _, i := range unread {
		k.follow(k.following(st, i), packed)
		k.unread(st.In[i])
	}
	st.Op = packed
	return nil
}

// grownBeside is how many bytes prepared forms may always take, but in graphs inside.
const grownBeside = 64 << 20

// room is how much prepared forms may take: Winograd's has four times the weights, but one
// filter in a block of 16 would make gigabytes of a model of hundreds of megabytes.
func (k *packing) room() int64 {
	if k.options.inner { // there may be thousands
		return 4 * k.all
	}
	return 4*k.all + grownBeside
}

// growth is how much larger an operator's prepared form is than the weights that it
// stands for.
func (k *packing) growth(st *Step, unread []int, packed op.Operator) int64 {
	h, ok := packed.(op.Holder)
	if !ok {
		return 0
	}
	n := h.PackedBytes()
	for _, i := range unread {
		n -= k.Fixed(st.In[i]).Bytes()
	}
	return max(0, n)
}

// followers finds, for each weight, the steps that can read it from where another one
// lays it out.
func (k *packing) followers() map[int][]*Step {
	found := map[int][]*Step{}
	for i := range k.Steps {
		st := &k.Steps[i]
		if o, ok := st.Op.(op.Follower); ok && k.Fixed(st.In[0]) != nil && o.Follows(k.infos(st.In)) {
			found[st.In[0]] = append(found[st.In[0]], st)
		}
	}
	return found
}

// following are the followers of operand i, if this step lets them read it.
func (k *packing) following(st *Step, i int) []*Step {
	steps := k.gathers[st.In[i]]
	if o, ok := st.Op.(op.Sharer); len(steps) == 0 || !ok || !o.Shares(i, k.infos(st.In)) {
		return nil
	}
	return steps
}

// follow lets steps read a weight from where it is now.
func (k *packing) follow(steps []*Step, packed op.Operator) {
	for _, st := range steps {
		id := st.In[0]
		st.Op = st.Op.(op.Follower).Follow(packed.(op.RowReader), k.infos(st.In))
		k.unread(id)
		delete(k.gathers, id)
	}
}

// unread counts one reader less of a weight, and lets go of it after the last one.
func (k *packing) unread(id int) {
	if k.readers[id]--; k.readers[id] == 0 {
		k.Values[id].Info.Value = nil
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
