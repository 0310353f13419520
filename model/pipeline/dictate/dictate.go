// Package dictate answers: which token does a model of Whisper's family say next, and when
// was what it said? Such a model hears a window of a recording and writes down what is said
// in it, a token at a time. Among the tokens are times, which come in pairs around stretches
// of speech. [Saying.Next] takes the best token that the rules for this allow, and
// [Saying.Stretches] cuts what was said by its times.
//
// The rules are those of openai-whisper 20250625 at temperature 0 (decoding.py:
// SuppressTokens, ApplyTimestampRules; transcribe.py), without the beam, without the tries at
// higher temperatures, and without what was said before a window.
//
// It stands inside the box, and scores come from a model that may be hostile: whatever they
// are, what is said has the form that the rules give it. NaN counts as impossible.
package dictate

import "math"

// Rules are what a model's tokens mean, and which are allowed.
type Rules struct {
	Tokens  int    // how many there are, times and all
	End     int    // the token that ends what is said; text is below it
	Times   int    // the first token that is a time, after End: that of the window's begin
	Most    int    // how many times after it a window has
	Initial int    // how many times after it the first one of a window may be
	Nothing int    // the token that says that nobody speaks; -1: there is none
	Never   []bool // for each token before Times, whether it is never said
}

// Saying is what is said in one window.
type Saying struct {
	rules  *Rules
	tokens []int
	// silent is the probability that nobody speaks, and doubt how little sure the model
	// was of each token: the sum of the negative logarithms of their probabilities.
	silent, doubt float64
}

// Say begins a window.
func (r *Rules) Say() *Saying { return &Saying{rules: r} }

// Begin looks at the scores behind the token that begins a transcript.
func (s *Saying) Begin(scores []float32) {
	if n := s.rules.Nothing; n >= 0 {
		most, _ := best(scores, nil)
		s.silent = math.Exp(float64(scores[n])-float64(most)) / total(scores, nil, most)
	}
}

// Silent is the probability that nobody speaks.
func (s *Saying) Silent() float64 { return s.silent }

// Doubt is how unsure the model was of what it said: the mean of the negative logarithms of
// the probabilities of its tokens.
func (s *Saying) Doubt() float64 { return s.doubt / float64(len(s.tokens)+1) }

// Next takes a token, given a score for each, and says whether that was the last one.
func (s *Saying) Next(scores []float32) (token int, end bool) {
	r := s.rules
	text, never := scores[:r.Times], r.Never
	first, last := s.times()
	switch {
	case len(s.tokens) == 0:
		text = nil
	case s.open():
		first = last // a time that began is followed by text
	case s.timed():
		text, never = text[r.End:], never[r.End:] // a time that ended by another one, or the end
	}
	word, at := best(text, never)
	at += r.Times - len(never)
	time, when := best(scores[first:last], nil)
	when += first
	switch timeSum := total(scores[first:last], nil, time); {
	case possible(time) && (!possible(word) || float64(time)+math.Log(timeSum) > float64(word)):
		s.doubt += math.Log(timeSum)
		token = when
	case possible(word):
		most := max(word, time)
		sum := total(text, never, most)
		if possible(time) {
			sum += timeSum * math.Exp(float64(time)-float64(most))
		}
		s.doubt += math.Log(sum) + float64(most) - float64(word)
		token = at
	default:
		token = r.End
	}
	if token == r.End {
		return token, true
	}
	s.tokens = append(s.tokens, token)
	return token, false
}

// timed says whether the last token is a time, and open whether a stretch begins with it.
func (s *Saying) timed() bool { return s.isTime(len(s.tokens) - 1) }

func (s *Saying) open() bool {
	return s.timed() && (len(s.tokens) < 2 || s.isTime(len(s.tokens)-2))
}

func (s *Saying) isTime(i int) bool { return i >= 0 && s.tokens[i] >= s.rules.Times }

// times is the range of times that may follow. They never go back, and a stretch does not
// end when it begins.
func (s *Saying) times() (first, last int) {
	r := s.rules
	first, last = r.Times, min(r.Times+r.Most+1, r.Tokens)
	if len(s.tokens) == 0 {
		return first, min(r.Times+r.Initial+1, last)
	}
	for i := len(s.tokens) - 1; i >= 0; i-- {
		if t := s.tokens[i]; t >= r.Times {
			first = t + 1
			if i == len(s.tokens)-1 && !s.open() {
				first = t // the next stretch may begin where this one ended
			}
			break
		}
	}
	return min(first, last), last
}

// possible says whether a score is one that can be taken.
func possible(score float32) bool { return score > float32(math.Inf(-1)) }

// best finds the highest score of those that are not never, and the first place that has
// it; no score is possible if there is none.
func best(scores []float32, never []bool) (most float32, at int) {
	most = float32(math.Inf(-1))
	for i, v := range scores {
		if v > most && (never == nil || !never[i]) {
			most, at = v, i
		}
	}
	return most, at
}

// total adds up the exponentials of scores, as parts of that of the highest.
func total(scores []float32, never []bool, most float32) (sum float64) {
	for i, v := range scores {
		if far := v - most; far > -40 && (never == nil || !never[i]) { // what is below adds nothing
			sum += math.Exp(float64(far))
		}
	}
	return sum
}
