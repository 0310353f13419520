package dictate

// framesOfTime is how many hundredths of a second a time is after the one before it.
const framesOfTime = 2

// Stretch is some text and when it was said, in hundredths of a second after the window's
// begin.
type Stretch struct {
	Start, End int
	Tokens     []int // of text alone
}

// Stretches cuts what was said in a window of so many hundredths of a second, and tells how many
// of them are done with: what was begun and not ended is heard again, in a window that begins
// with it. The step is at least 1, and at most the window.
func (s *Saying) Stretches(window int) (list []Stretch, step int) {
	cuts := s.cuts()
	if len(cuts) == 0 {
		return s.whole(window), max(window, 1)
	}
	// A single time at the end: nobody speaks behind it.
	n, step := len(s.tokens), window
	if s.isTime(n-1) && !s.isTime(n-2) {
		cuts = append(cuts, n)
	} else {
		step = s.after(s.tokens[cuts[len(cuts)-1]-1])
	}
	from := 0
	for _, to := range cuts {
		list = s.add(list, Stretch{s.after(s.tokens[from]), s.after(s.tokens[to-1]), s.text(from, to)})
		from = to
	}
	return list, max(1, min(step, window))
}

// cuts are the places where one stretch ended and the next one begins.
func (s *Saying) cuts() (list []int) {
	for i := 1; i < len(s.tokens); i++ {
		if s.isTime(i-1) && s.isTime(i) {
			list = append(list, i)
		}
	}
	return list
}

// whole is one stretch, up to the last time if there is one.
func (s *Saying) whole(window int) []Stretch {
	end := window
	for i := len(s.tokens) - 1; i >= 0; i-- {
		if s.isTime(i) {
			if t := s.after(s.tokens[i]); t > 0 {
				end = t
			}
			break
		}
	}
	return s.add(nil, Stretch{0, end, s.text(0, len(s.tokens))})
}

// add leaves out what says nothing or takes no time.
func (s *Saying) add(list []Stretch, one Stretch) []Stretch {
	if len(one.Tokens) == 0 || one.End <= one.Start {
		return list
	}
	return append(list, one)
}

// after is how long after the window's begin a time is.
func (s *Saying) after(token int) int { return framesOfTime * max(0, token-s.rules.Times) }

// text returns the tokens of text in a range.
func (s *Saying) text(from, to int) (list []int) {
	for _, t := range s.tokens[from:to] {
		if t < s.rules.End {
			list = append(list, t)
		}
	}
	return list
}
