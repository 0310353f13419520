package tokenize

import (
	"bytes"
	"context"
	"fmt"

	"github.com/blindbox/blindbox/internal/strictjson"
)

// reading is a file on its way to a [Tokenizer]. It counts the memory that this takes,
// before it is taken but for a little.
type reading struct {
	Limits
	ctx   context.Context
	steps int   // normalizers, pre-tokenizers and decoders so far
	code  int   // instructions of patterns so far
	owed  int64 // bytes that Take was not asked for yet
	kept  int64 // bytes that the tokenizer will hold
}

// What files ask for has a handful of steps, and patterns of some hundred instructions. A
// step is a hundred times as large as its text can be, so they are bounded by number.
const (
	maxSteps = 256
	maxCode  = 16 << 10
	// maxTemplates bounds the text of the post-processor: it is small too.
	maxTemplates = 1 << 20
)

// What one thing of a file takes in memory, at most, beside its text: the places of maps
// and slices, which grow by doubling, and the rounding of what is allocated. See
// TestBytes, which measures them.
const (
	tokenBytes    = 112 // by text and by id
	memberBytes   = 64  // of an object, in the set of names that must not be there twice
	mergeBytes    = 96  // as the file has it
	mergeMapBytes = 48
	byteViewBytes = 80
	scoredBytes   = 72
	entryBytes    = 48 // in a list that a trie is made of, and sorted
	nodeBytes     = 12
	addedBytes    = 512
	codeBytes     = 512 // an instruction with its set
)

// stop says that nobody waits for the tokenizer any more.
func (r *reading) stop() error { return r.ctx.Err() }

// look is stop for loops, at every few hundredth turn.
func (r *reading) look(i int) error {
	if i%256 != 0 {
		return nil
	}
	return r.stop()
}

// use counts memory, of n things of so many bytes each. Neither can be so large that
// they overflow: a file has less than a GiB.
func (r *reading) use(n int, each int64) error {
	const little = 64 << 10
	if r.owed += int64(n) * each; r.owed < little || r.Take == nil {
		return nil
	}
	owed := r.owed
	r.owed = 0
	return r.Take(owed)
}

// keep is use of memory that the tokenizer will hold.
func (r *reading) keep(n int, each int64) error {
	r.kept += int64(n) * each
	return r.use(n, each)
}

// begin counts the text of a file, which strings are made of, and what finds out that
// no member of an object is there twice.
func (r *reading) begin(text []byte) error {
	members := min(bytes.Count(text, []byte(":")), r.members())
	if err := r.use(members, memberBytes); err != nil {
		return err
	}
	return r.use(len(text), 2)
}

// members is how many members the objects of a file may have, those inside each other
// together: the tokens are members of one.
func (r *reading) members() int { return r.Vocabulary + 1<<10 }

// step counts a step of the file.
func (r *reading) step() error {
	if r.steps++; r.steps > maxSteps {
		return fmt.Errorf("tokenize: more than %d normalizers, pre-tokenizers and decoders: %w", maxSteps, ErrLimit)
	}
	return r.stop()
}

// compile reads a pattern.
func (r *reading) compile(text string) (*pattern, error) {
	p, err := compile(text)
	if err != nil {
		return nil, err
	}
	if r.code += len(p.code); r.code > maxCode {
		return nil, fmt.Errorf("tokenize: the patterns have more than %d instructions together: %w", maxCode, ErrLimit)
	}
	return p, r.keep(len(p.code), codeBytes)
}

// parts are the steps of a sequence.
type parts []part

// ReadStrictJSON reads the list.
func (l *parts) ReadStrictJSON(r *strictjson.Reader) error {
	return r.Array(func() error {
		if len(*l) == maxSteps {
			return fmt.Errorf("tokenize: a sequence of more than %d steps: %w", maxSteps, ErrLimit)
		}
		var p part
		err := p.ReadStrictJSON(r)
		*l = append(*l, p)
		return err
	})
}
