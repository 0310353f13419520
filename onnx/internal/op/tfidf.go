package op

import (
	"errors"
	"fmt"

	"github.com/blindbox/blindbox/onnx/tensor"
)

// tfIdf counts in each row which of a pool of n-grams are in it, as neighbours or with
// up to so many tokens skipped in between, and weighs the counts.
type tfIdf struct {
	mode    string
	least   int // tokens of an n-gram
	most    int
	skip    int64
	texts   *grams[string]
	numbers *grams[int64]
	columns []int64 // of the result, by n-gram
	width   int64
	weights []float32 // by column; nil: all 1
}

// grams is a tree of n-grams, by their tokens.
type grams[T comparable] struct {
	next map[gramStep[T]]int
	gram []int // n-gram that ends at a node, from 1 on; 0: none does
}

type gramStep[T comparable] struct {
	node  int
	token T
}

// newGrams reads a pool, in which the n-grams of one token come first, then those of
// two, and so on; starts says where each of these begins.
func newGrams[T comparable](pool []T, starts []int64, least, most int) (*grams[T], int, error) {
	g := &grams[T]{next: map[gramStep[T]]int{}, gram: []int{0}}
	id := 1
	for i, start := range starts {
		end, n := int64(len(pool)), i+1
		if n < len(starts) {
			end = starts[n]
		}
		if start < 0 || start > end || end > int64(len(pool)) || (end-start)%int64(n) != 0 {
			return nil, 0, fmt.Errorf(`attribute "ngram_counts" does not fit a pool of %d`, len(pool))
		}
		for ; start < end; start += int64(n) {
			if n >= least && n <= most {
				g.add(pool[start:start+int64(n)], id)
			}
			id++
		}
	}
	return g, id - 1, nil
}

func (g *grams[T]) add(tokens []T, id int) {
	at := 0
	for _, t := range tokens {
		step := gramStep[T]{at, t}
		to, ok := g.next[step]
		if !ok {
			to = len(g.gram)
			g.next[step] = to
			g.gram = append(g.gram, 0)
		}
		at = to
	}
	g.gram[at] = id
}

func makeTfIdf(a *Attributes, _ int64) (Operator, error) {
	o := tfIdf{mode: a.string("mode", ""), skip: a.int("max_skip_count", -1)}
	least, most := a.int("min_gram_length", 0), a.int("max_gram_length", 0)
	starts, _ := a.ints("ngram_counts")
	o.columns, _ = a.ints("ngram_indexes")
	o.weights, _ = a.floats("weights")
	texts, hasTexts := a.strings("pool_strings")
	numbers, hasNumbers := a.ints("pool_int64s")
	switch {
	case o.mode != "TF" && o.mode != "IDF" && o.mode != "TFIDF":
		return nil, fmt.Errorf(`attribute "mode" is %s`, Quote(o.mode))
	case least < 1 || most < least || o.skip < 0:
		return nil, fmt.Errorf("n-grams of %d to %d tokens with %d skipped", least, most, o.skip)
	case hasTexts == hasNumbers:
		return nil, errors.New(`must have one of the attributes "pool_strings" and "pool_int64s"`)
	}
	o.least, o.most = int(min(least, 1<<30)), int(min(most, 1<<30))
	var n int
	var err error
	if hasTexts {
		o.texts, n, err = newGrams(texts, starts, o.least, o.most)
	} else {
		o.numbers, n, err = newGrams(numbers, starts, o.least, o.most)
	}
	if err != nil {
		return nil, err
	}
	return o, o.check(n)
}

// check holds the attributes to each other, for a pool of n n-grams.
func (o *tfIdf) check(n int) error {
	if len(o.columns) != n || n == 0 {
		return fmt.Errorf(`attribute "ngram_indexes" has %d entries, the pool has %d n-grams`, len(o.columns), n)
	}
	for _, c := range o.columns {
		if c < 0 || c >= 1<<31 {
			return fmt.Errorf(`attribute "ngram_indexes" holds %d`, c)
		}
		o.width = max(o.width, c+1)
	}
	if o.weights != nil && int64(len(o.weights)) != o.width {
		return fmt.Errorf(`attribute "weights" has %d entries for %d columns`, len(o.weights), o.width)
	}
	return nil
}

func (o tfIdf) Infer(in []*Info) ([]Info, error) {
	var err error
	if o.texts != nil {
		err = needType(in, 0, tensor.String)
	} else {
		err = needType(in, 0, tensor.Int32, tensor.Int64)
	}
	if err != nil {
		return nil, err
	}
	v := in[0]
	switch {
	case !v.Ranked:
		return []Info{unranked(tensor.Float32)}, nil
	case len(v.Shape) < 2:
		return []Info{ranked(tensor.Float32, o.width)}, nil
	case len(v.Shape) == 2:
		return []Info{ranked(tensor.Float32, v.Shape[0], o.width)}, nil
	}
	return nil, BadInput(0, "has shape %v, expected a list or a matrix", v.Shape)
}

func (o tfIdf) Run(env *Env, in, out []*tensor.Tensor) error {
	to := tensor.Data[float32](out[0])
	clear(to)
	rows := len(to) / int(o.width)
	var err error
	switch in[0].Type {
	case tensor.String:
		err = countRows(env, &o, o.texts, tensor.Data[string](in[0]), to, rows)
	case tensor.Int64:
		err = countRows(env, &o, o.numbers, tensor.Data[int64](in[0]), to, rows)
	default:
		err = countRows(env, &o, o.numbers, integersOf(in[0]), to, rows)
	}
	o.weigh(to)
	return err
}

// countRows counts the n-grams of every row.
func countRows[T comparable](env *Env, o *tfIdf, g *grams[T], tokens []T, to []float32, rows int) error {
	width := len(tokens) / rows
	for r := range rows {
		row := tokens[r*width : (r+1)*width]
		counts := to[r*int(o.width) : (r+1)*int(o.width)]
		least := o.least
		for skip := int64(1); skip <= o.skip+1 && skip <= max(int64(width), 1) && least <= o.most; skip++ {
			if err := count(env, o, g, row, counts, int(skip), least); err != nil {
				return err
			}
			least = max(least, 2) // one token is counted once, whatever is skipped
		}
	}
	return nil
}

// count counts the n-grams of at least so many tokens that are skip apart.
func count[T comparable](env *Env, o *tfIdf, g *grams[T], row []T, counts []float32, skip, least int) error {
	for start := range row {
		if start%1024 == 0 {
			if err := env.On.Err(); err != nil {
				return err
			}
		}
		node := 0
		for n, at := 1, start; n <= o.most && at < len(row); n, at = n+1, at+skip {
			next, ok := g.next[gramStep[T]{node, row[at]}]
			if !ok {
				break
			}
			if id := g.gram[next]; id > 0 && n >= least {
				counts[o.columns[id-1]]++
			}
			node = next
		}
	}
	return nil
}

// weigh turns counts into what the mode asks for.
func (o *tfIdf) weigh(to []float32) {
	for i, n := range to {
		w := float32(1)
		if o.weights != nil {
			w = o.weights[i%len(o.weights)]
		}
		switch {
		case o.mode == "TFIDF":
			to[i] = n * w
		case o.mode == "IDF" && n > 0:
			to[i] = w
		}
	}
}
