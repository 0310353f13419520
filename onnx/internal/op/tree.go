package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// treeEnsemble walks each row of operand 0 down a number of trees, and joins what the
// leaves say about each target.
type treeEnsemble struct {
	nodes     []treeNode
	leaves    []treeLeaf
	roots     []treeChild
	targets   int64
	aggregate int64
	of        tensor.DataType // of operand 0, splits, weights and the result
}

type treeNode struct {
	mode    uint8
	feature int64
	split   float64
	members map[float64]bool
	missing bool // a value that is not a number goes the way of true
	yes, no treeChild
}

type treeChild struct {
	index int64
	leaf  bool
}

type treeLeaf struct {
	target int64
	weight float64
}

// How a node compares (TreeEnsemble, nodes_modes), and how leaves are joined
// (aggregate_function).
const (
	atMostSplit, below, atLeast, aboveSplit, equals, unlike, member = 0, 1, 2, 3, 4, 5, 6
	average, sum, smallestLeaf, largestLeaf                         = 0, 1, 2, 3
)

func makeTreeEnsemble(a *Attributes, _ int64) (Operator, error) {
	o := treeEnsemble{targets: a.int("n_targets", 0), aggregate: a.int("aggregate_function", sum)}
	splits, weights := tensorIn(a, "nodes_splits"), tensorIn(a, "leaf_weights")
	modes := tensorIn(a, "nodes_modes")
	members := tensorIn(a, "membership_values")
	tensorIn(a, "nodes_hitrates") // how often each was taken while learning: a note
	if splits == nil || weights == nil || modes == nil || modes.Type != tensor.Uint8 {
		return nil, errors.New("splits, modes or weights are missing")
	}
	if a.int("post_transform", 0) != 0 || o.aggregate < average || o.aggregate > largestLeaf || o.targets < 1 {
		return nil, errors.New("post_transform, aggregate_function or n_targets is not supported")
	}
	o.of = splits.Type
	if o.of != tensor.Float32 && o.of != tensor.Float64 || weights.Type != o.of || members != nil && members.Type != o.of {
		return nil, fmt.Errorf("splits of %s and weights of %s are not supported", o.of, weights.Type)
	}
	if err := o.readNodes(a, tensor.Data[uint8](modes), float64sOf(splits)); err != nil {
		return nil, err
	}
	if err := o.readMembers(members); err != nil {
		return nil, err
	}
	return &o, o.readLeaves(a, float64sOf(weights))
}

func (o *treeEnsemble) readNodes(a *Attributes, modes []uint8, splits []float64) error {
	n := len(modes)
	column := func(name string) []int64 {
		v, ok := a.ints(name)
		if len(v) != n && (ok || name != "nodes_missing_value_tracks_true") {
			a.fail(fmt.Errorf("attribute %q has %d entries for %d nodes", name, len(v), n))
		}
		if len(v) != n {
			return make([]int64, n)
		}
		return v
	}
	features, missing := column("nodes_featureids"), column("nodes_missing_value_tracks_true")
	yes, yesLeaf := column("nodes_truenodeids"), column("nodes_trueleafs")
	no, noLeaf := column("nodes_falsenodeids"), column("nodes_falseleafs")
	if len(splits) != n {
		return fmt.Errorf(`attribute "nodes_splits" has %d entries for %d nodes`, len(splits), n)
	}
	for i, mode := range modes {
		if mode > member {
			return fmt.Errorf("node %d of a tree compares in mode %d", i, mode)
		}
		o.nodes = append(o.nodes, treeNode{mode: mode, feature: features[i], split: splits[i], missing: missing[i] != 0,
			yes: treeChild{yes[i], yesLeaf[i] != 0}, no: treeChild{no[i], noLeaf[i] != 0}})
	}
	return nil
}

// readMembers hands out the sets of values, each of which ends with one that is not a
// number.
func (o *treeEnsemble) readMembers(t *tensor.Tensor) error {
	var values []float64
	if t != nil {
		values = float64sOf(t)
	}
	for i := range o.nodes {
		if o.nodes[i].mode != member {
			continue
		}
		set := map[float64]bool{}
		for len(values) > 0 && !math.IsNaN(values[0]) {
			set[values[0]] = true
			values = values[1:]
		}
		if len(values) == 0 {
			return fmt.Errorf("node %d of a tree has no set of values", i)
		}
		values = values[1:]
		o.nodes[i].members = set
	}
	return nil
}

// readLeaves reads the leaves and the roots, and holds all places to what is there.
func (o *treeEnsemble) readLeaves(a *Attributes, weights []float64) error {
	targets, _ := a.ints("leaf_targetids")
	roots, _ := a.ints("tree_roots")
	if len(targets) != len(weights) || len(roots) == 0 {
		return fmt.Errorf("%d leaves with %d weights, %d trees", len(targets), len(weights), len(roots))
	}
	for i, t := range targets {
		if t < 0 || t >= o.targets {
			return fmt.Errorf("leaf %d is about target %d of %d", i, t, o.targets)
		}
		o.leaves = append(o.leaves, treeLeaf{t, weights[i]})
	}
	for _, r := range roots {
		if r < 0 || r >= int64(len(o.nodes)) {
			return fmt.Errorf("a tree begins at node %d of %d", r, len(o.nodes))
		}
		n := o.nodes[r]
		if n.yes.leaf && n.no == n.yes { // a tree of one leaf
			o.roots = append(o.roots, n.yes)
			continue
		}
		o.roots = append(o.roots, treeChild{index: r})
	}
	for i, n := range o.nodes {
		for _, c := range []treeChild{n.yes, n.no} {
			if most := len(o.nodes); c.index < 0 || !c.leaf && c.index >= int64(most) || c.leaf && c.index >= int64(len(o.leaves)) {
				return fmt.Errorf("node %d of a tree leads to %d, which is not there", i, c.index)
			}
		}
	}
	return nil
}

func (o *treeEnsemble) Infer(in []*Info) ([]Info, error) {
	if err := needType(in, 0, o.of); err != nil {
		return nil, err
	}
	rows := int64(-1)
	if in[0].Ranked {
		if err := needRank(in, 0, 2, "a matrix"); err != nil {
			return nil, err
		}
		rows = in[0].Shape[0]
	}
	return []Info{ranked(o.of, rows, o.targets)}, nil
}

// takes says whether a node's comparison holds.
func (n *treeNode) takes(v float64) bool {
	if math.IsNaN(v) && n.missing {
		return true
	}
	switch n.mode {
	case atMostSplit:
		return v <= n.split
	case below:
		return v < n.split
	case atLeast:
		return v >= n.split
	case aboveSplit:
		return v > n.split
	case equals:
		return v == n.split
	case unlike:
		return v != n.split
	}
	return n.members[v]
}

// leaf finds the leaf that a row ends at. A path longer than there are nodes is a
// circle.
func (o *treeEnsemble) leaf(at treeChild, feature func(int64) (float64, error)) (treeLeaf, error) {
	for range len(o.nodes) + 1 {
		if at.leaf {
			return o.leaves[at.index], nil
		}
		n := &o.nodes[at.index]
		v, err := feature(n.feature)
		if err != nil {
			return treeLeaf{}, err
		}
		if at = n.no; n.takes(v) {
			at = n.yes
		}
	}
	return treeLeaf{}, errors.New("a tree goes in a circle")
}

func (o *treeEnsemble) Run(env *Env, in, out []*tensor.Tensor) error {
	if o.of == tensor.Float32 {
		return walkTrees(env, o, tensor.Data[float32](in[0]), tensor.Data[float32](out[0]), in[0].Shape[1])
	}
	return walkTrees(env, o, tensor.Data[float64](in[0]), tensor.Data[float64](out[0]), in[0].Shape[1])
}

func walkTrees[T float32 | float64](env *Env, o *treeEnsemble, in, out []T, features int64) error {
	sums, err := env.New(tensor.Float64, []int64{o.targets})
	if err != nil {
		return err
	}
	seen, err := env.New(tensor.Bool, []int64{o.targets})
	if err != nil {
		return err
	}
	results := treeRow{tensor.Data[float64](sums), tensor.Data[bool](seen)}
	for row := int64(0); len(out) > 0; row++ {
		feature := func(i int64) (float64, error) {
			if i < 0 || i >= features {
				return 0, BadInput(0, "has %d features, a tree asks for number %d", features, i)
			}
			return float64(in[row*features+i]), nil
		}
		if err := o.row(env, feature, results); err != nil {
			return err
		}
		for i, v := range results.values {
			out[i] = T(v)
		}
		out = out[o.targets:]
	}
	return nil
}

// treeRow is what the trees have said so far about each target of one row.
type treeRow struct {
	values []float64
	seen   []bool
}

// row joins what all trees say about one row.
func (o *treeEnsemble) row(env *Env, feature func(int64) (float64, error), out treeRow) error {
	clear(out.values)
	clear(out.seen)
	for _, root := range o.roots {
		if err := env.On.Err(); err != nil {
			return err
		}
		leaf, err := o.leaf(root, feature)
		if err != nil {
			return err
		}
		out.add(leaf, o.aggregate, len(o.roots))
	}
	return nil
}

// add joins one leaf, of so many trees.
func (r treeRow) add(leaf treeLeaf, aggregate int64, trees int) {
	v, t := leaf.weight, leaf.target
	switch {
	case aggregate == average:
		r.values[t] += v / float64(trees)
	case aggregate == sum:
		r.values[t] += v
	case !r.seen[t]:
		r.values[t] = v
	case aggregate == smallestLeaf:
		r.values[t] = min(r.values[t], v)
	default:
		r.values[t] = max(r.values[t], v)
	}
	r.seen[t] = true
}
