package dictate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// rules are those of a model with the words 0 to 4, 5 for the end, 6 for silence, 7 that is
// never said, and times from 8 on: eleven for a window, of which the first three may begin it.
func rules() *Rules {
	return &Rules{Tokens: 20, End: 5, Times: 8, Most: 10, Initial: 2, Nothing: 6, Never: []bool{false, false, false, true, false, false, true, true}}
}

// scores are low but for some tokens.
func scores(of ...float64) []float32 {
	s := make([]float32, 20)
	for i := range s {
		s[i] = -30
	}
	for i := 0; i+1 < len(of); i += 2 {
		s[int(of[i])] = float32(of[i+1])
	}
	return s
}

// TestNext: one token after the other, each beside others that the rules do not allow.
func TestNext(t *testing.T) {
	inf := math.Inf(1)
	s := rules().Say()
	for i, c := range []struct {
		scores []float32
		token  int
	}{
		{scores(0, 9, 5, 9, 11, 8, 10, 1), 10},           // it begins with a time that is not late
		{scores(12, 9, 0, 1, 3, 8, 7, 8, 6, 8), 0},       // a time that began is followed by text, of what may be said
		{scores(1, 2, 11, 1.5, 12, 1.5), 11},             // times together are surer than a word
		{scores(1, 2, 10, 3, 11, 1.5), 11},               // the next stretch may begin where this one ended, not before
		{scores(1, 2), 1},                                // text
		{scores(1, 2, 11, 9, 12, 1), 1},                  // no stretch without length
		{scores(12, inf, 1, 2), 1},                       // a sum that is no number says nothing
		{scores(12, 9, 1, 2), 12},                        // an end
		{scores(1, 9, 2, 9, 13, 1), 13},                  // behind an end no text
		{scores(1, 2, 2, 2), 1},                          // of equal ones the first
		{scores(18, 9, 1, 2, 19, 40), 18},                // no time behind the window
		{scores(5, 1, 18, 0, 1, 50, 17, 50), 5},          // behind an end the end
		{scores(18, 1, 5, math.NaN(), 1, 50), 18},        // a score that is no number is impossible
		{scores(18, 50, 19, 50, 5, -29, 4, -28.5), 4},    // no time is left
		{slices.Repeat([]float32{float32(-inf)}, 20), 5}, // nothing is possible
	} {
		token, end := s.Next(c.scores)
		if token != c.token || end != (c.token == 5) {
			t.Errorf("%d: token %d, expected %d", i, token, c.token)
		}
	}
}

// TestStretches cuts as transcribe.py does.
func TestStretches(t *testing.T) {
	for _, c := range []struct {
		tokens []int
		window int
		want   string
	}{
		{nil, 20, "[] 20"},
		{[]int{8, 0, 1, 12}, 20, "[{0 8 [0 1]}] 20"},                           // a time at the end: nothing is said behind it
		{[]int{8, 0, 1}, 19, "[{0 19 [0 1]}] 19"},                              // no end
		{[]int{10, 0, 1}, 20, "[{0 4 [0 1]}] 20"},                              // the last time is the end
		{[]int{9, 0, 12, 12, 1, 2, 14}, 20, "[{2 8 [0]} {8 12 [1 2]}] 20"},     // two
		{[]int{9, 0, 12, 12, 1, 2}, 20, "[{2 8 [0]}] 8"},                       // the second one goes on in the next window
		{[]int{9, 0, 12, 14}, 20, "[{2 8 [0]}] 8"},                             // nothing is said of it
		{[]int{9, 0, 12, 12, 14, 14, 1, 15}, 20, "[{2 8 [0]} {12 14 [1]}] 20"}, // one that says nothing
		{[]int{9, 0, 18, 18, 1, 2}, 14, "[{2 20 [0]}] 14"},                     // a time behind the window
		{[]int{8, 0, 8, 8, 1}, 20, "[] 1"},                                     // what the rules do not allow ends, too
		{[]int{8}, 0, "[] 1"},
	} {
		s := &Saying{rules: rules(), tokens: c.tokens}
		list, step := s.Stretches(c.window)
		if got := fmt.Sprint(list, step); got != c.want {
			t.Errorf("%v: %s, expected %s", c.tokens, got, c.want)
		}
	}
}

// TestSure: probabilities are those of a softmax over what is allowed.
func TestSure(t *testing.T) {
	s := rules().Say()
	s.Begin(scores(6, 1, 0, 1, 8, 1, 3, 1))
	if got := s.Silent(); math.Abs(got-0.25) > 1e-6 {
		t.Errorf("silent %g, expected 1/4", got)
	}
	s.Next(scores(8, 1, 9, 1, 0, 7))             // one of two
	s.Next(scores(0, 1, 1, 1, 2, 1, 3, 9, 9, 9)) // one of three
	s.Next(scores(5, 1))
	if got, want := s.Doubt(), math.Log(2*3)/3; math.Abs(got-want) > 1e-6 {
		t.Errorf("doubt %g, expected %g", got, want)
	}
	r := rules()
	r.Nothing = -1
	s = r.Say()
	if s.Begin(scores(6, 1)); s.Silent() != 0 {
		t.Errorf("silent %g without a token for it", s.Silent())
	}
}

// TestForm: whatever the scores are, what is said begins with a time, times do not go back,
// and the stretches are in their order and within the window.
func TestForm(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	odd := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, 1e38, -1e38}
	for range 2000 {
		s := rules().Say()
		for range 30 {
			scores := make([]float32, 20)
			for i := range scores {
				if scores[i] = float32(random.NormFloat64() * 3); random.IntN(8) == 0 {
					scores[i] = odd[random.IntN(len(odd))]
				}
			}
			s.Begin(scores)
			if _, end := s.Next(scores); end {
				break
			}
		}
		last := 0
		for i, token := range s.tokens {
			if i == 0 && (token < 8 || token > 10) || token == 3 || token == 6 || token == 7 || token > 18 || token >= 8 && token < last {
				t.Fatalf("%v", s.tokens)
			}
			if token >= 8 {
				last = token
			}
		}
		window := random.IntN(21)
		list, step := s.Stretches(window)
		end := 0
		for _, one := range list {
			if one.Start < end || one.End <= one.Start || len(one.Tokens) == 0 || slices.Max(one.Tokens) > 4 {
				t.Fatalf("%v: %v", s.tokens, list)
			}
			end = one.End
		}
		if step < 1 || step > max(1, window) {
			t.Fatalf("%v: a step of %d in a window of %d", s.tokens, step, window)
		}
	}
}
