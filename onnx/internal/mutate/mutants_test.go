package mutate_test

import (
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/blindbox/blindbox/onnx/internal/mutate"
)

var (
	mutants = flag.Int("mutants", 200, "how many models TestMutants makes")
	keep    = flag.String("mutants.keep", "", "write each to this file")
	sparse  = flag.Int("mutants.every", 16, "of so many published cases one is a seed")
	from    = flag.Uint64("mutants.from", 0, "the first of them")
)

// mutant is the model that a seed becomes by a list of bytes, and the decisions that
// are left for running it.
func mutant(all []seed, index int, bytes []byte) (*mutate.Message, *mutate.Choice, seed) {
	c, s := mutate.NewChoice(bytes), all[index%len(all)]
	donor := mutate.Of(c, all)
	tree := s.tree
	for i, value := range s.inputs {
		if i < 8 && c.One(6) { // known when the model is loaded, not only in a run
			if name, ok := mutate.InputName(s.tree, i); ok {
				if stored, err := mutate.Store(tree, name, value); err == nil {
					tree = stored
				}
			}
		}
	}
	return mutate.Mutate(tree, donor.tree, c), c, s
}

// tryMutant takes one through everything, and says how far it came.
func tryMutant(t *testing.T, all []seed, index int, bytes []byte) string {
	tree, c, s := mutant(all, index, bytes)
	trial := newTrial(t, tree.Append(nil), c)
	if *keep != "" {
		if err := os.WriteFile(*keep, trial.model, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trial.exercise(s.inputs)
	if c.One(3) {
		check(t, mutate.Expose(tree), c, s.inputs)
	}
	return trial.stage
}

// TestMutants takes some thousand models that nobody would write through everything.
func TestMutants(t *testing.T) {
	all, stages := seeds(t, every(t)), map[string]int{}
	for i := range uint64(*mutants) {
		n := *from + i
		rng := rand.New(rand.NewPCG(n, 7))
		index, bytes := rng.IntN(len(all)), binary.LittleEndian.AppendUint64(nil, rng.Uint64())
		begin := time.Now()
		ok := t.Run("", func(t *testing.T) { stages[tryMutant(t, all, index, bytes)]++ })
		if took := time.Since(begin); !ok || took > 2*time.Second {
			t.Logf("mutant %d of %s, index %d, bytes %x: ok %v in %v", n, all[index].name, index, bytes, ok, took)
		}
	}
	t.Logf("of %d seeds: %v", len(all), stages)
}

// every: of so many published cases one is taken; all of them for a fuzzer.
func every(testing.TB) int {
	if fuzzing() {
		return 1
	}
	return max(1, *sparse)
}

func fuzzing() bool { return flag.Lookup("test.fuzz").Value.String() != "" }

// FuzzMutants is TestMutants with decisions that the fuzzer makes.
func FuzzMutants(f *testing.F) {
	all := seeds(f, every(f))
	for i := range all {
		if fuzzing() || i < 20 {
			f.Add(uint16(i), []byte{byte(i), 1, 2, 3})
		}
	}
	f.Fuzz(func(t *testing.T, index uint16, bytes []byte) {
		if len(bytes) < 1<<10 {
			tryMutant(t, all, int(index), bytes)
		}
	})
}
