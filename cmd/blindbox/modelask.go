package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/blindbox/blindbox/client/models"
)

// ask asks a model with a pipeline about texts or files: all at once, or one after the
// other if it takes one at a time.
func (s *session) ask(ctx context.Context, c *models.Client, d models.Description, q question) error {
	what, several := d.Asks()
	if len(q.items) == 0 {
		return unasked(d, "%s takes %s: give one or more behind its name", oneLine(d.Name), plural(what))
	}
	if q.once && !several && len(q.items) > 1 {
		return unasked(d, "%s is asked about one after the other, and --receipt is for one request: give one", oneLine(d.Name))
	}
	items := make([][]byte, len(q.items))
	for i, item := range q.items {
		var err error
		if items[i], err = s.item(what, item); err != nil {
			return err
		}
	}
	if several {
		return s.askOnce(ctx, c, d, q, items)
	}
	for i := range items {
		one := q
		one.items = q.items[i : i+1]
		if len(items) > 1 && !s.json() {
			s.printf("%s\n", oneLine(q.items[i]))
		}
		if err := s.askOnce(ctx, c, d, one, items[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// askOnce sends one request, and prints what the model says about each of its items.
func (s *session) askOnce(ctx context.Context, c *models.Client, d models.Description, q question, items [][]byte) error {
	what, several := d.Asks()
	out, err := c.Ask(ctx, q.name, q.version, what, items, q.outputs...)
	if err != nil {
		return withAdvice(err, http.StatusBadRequest, howToAsk(d))
	}
	if s.json() {
		s.writeOutputs(d, out)
		return nil
	}
	answers, err := answersOf(out, len(items), several)
	if err != nil {
		return fmt.Errorf("the box's answer cannot be read: %w", err)
	}
	for i, a := range answers {
		s.writeAnswer(q.items[i], a, len(items) > 1)
	}
	return nil
}

// plural is what a model takes, as people say it.
func plural(what string) string {
	switch what {
	case "text":
		return "texts"
	case "image":
		return "pictures, PNG or JPEG files"
	case "audio":
		return "recordings, WAV files"
	}
	return oneLine(what)
}

// item is what an argument stands for: a text is itself, everything else is in a file.
func (s *session) item(what, argument string) ([]byte, error) {
	file, named := strings.CutPrefix(argument, "@")
	if what == "text" && !named && argument != "-" {
		if info, err := os.Stat(argument); err == nil && info.Mode().IsRegular() {
			s.note("%s is asked about as the text that it is; @%[1]s is for what stands in the file\n", oneLine(argument))
		}
		return []byte(argument), nil
	}
	data, err := s.readFile(file, maxInput)
	var r *refusal
	if what != "text" && errors.As(err, &r) && r.expected == "" {
		r.expected = "a file: the model takes " + plural(what)
	}
	return data, err
}

// answer is what a model says about one text or file: its outputs, each as elements of
// JSON in their order.
type answer []struct {
	name     string
	elements []json.RawMessage
}

// answersOf takes outputs apart. Where a request may have several texts or files, the
// first dimension of each output is these.
func answersOf(out []models.Tensor, items int, several bool) ([]answer, error) {
	answers := make([]answer, items)
	for _, t := range out {
		var all []json.RawMessage
		if err := json.Unmarshal(t.Data, &all); err != nil {
			return nil, err
		}
		if several && (len(t.Shape) == 0 || t.Shape[0] != int64(items) || len(all)%items != 0) {
			return nil, errors.New("an output is not about what was asked")
		}
		each := len(all) / items
		for i := range answers {
			answers[i] = append(answers[i], struct {
				name     string
				elements []json.RawMessage
			}{t.Name, all[i*each : (i+1)*each]})
		}
	}
	return answers, nil
}

// of is the elements of an output; nil if it is not there.
func (a answer) of(name string) []json.RawMessage {
	for _, o := range a {
		if o.name == name {
			return o.elements
		}
	}
	return nil
}

// writeAnswer prints what people want to read of an answer: its text, its labels with
// their scores, where speech begins and ends, or an embedding in one line; of others, all outputs, side by side if
// they are of one length.
func (s *session) writeAnswer(item string, a answer, several bool) {
	indent := ""
	embedding := a.of("embedding")
	if several && embedding == nil {
		s.printf("%s\n", oneLine(item))
		indent = "  "
	}
	labels, scores := a.of("label"), a.of("score")
	switch {
	case embedding != nil:
		s.printf("%s\n", joined(embedding))
	case a.of("text") != nil:
		for _, e := range a.of("text") {
			for line := range strings.SplitSeq(strings.TrimSuffix(worded(e), "\n"), "\n") {
				s.printf("%s%s\n", indent, oneLine(line))
			}
		}
	case labels != nil && len(scores) == len(labels):
		s.writeLabels(indent, labels, scores)
	case a.of("start") != nil && a.of("end") != nil: // of speech; how probable it is at each moment is for machines
		s.writeColumns(indent, a.only("start", "end"))
	case a.even():
		s.writeColumns(indent, a)
	default:
		for _, o := range a {
			s.printf("%s%s  %s\n", indent, oneLine(o.name), joined(o.elements))
		}
	}
}

// only is an answer of some of the outputs.
func (a answer) only(names ...string) (some answer) {
	for _, o := range a {
		if slices.Contains(names, o.name) {
			some = append(some, o)
		}
	}
	return some
}

// even says that an answer is a list of things of which each output says something, such
// as its place and its score.
func (a answer) even() bool {
	for _, o := range a {
		if len(o.elements) != len(a[0].elements) {
			return false
		}
	}
	return len(a) > 1
}

func (s *session) writeColumns(indent string, a answer) {
	columns := make([][]string, len(a))
	wide := make([]int, len(a))
	for i, o := range a {
		columns[i] = []string{oneLine(o.name)}
		for _, e := range o.elements {
			columns[i] = append(columns[i], oneLine(worded(e)))
		}
		for _, text := range columns[i] {
			wide[i] = max(wide[i], len(text))
		}
	}
	for row := range columns[0] {
		cells := make([]string, len(columns))
		for i := range columns {
			cells[i] = fmt.Sprintf("%-*s", wide[i], columns[i][row])
		}
		s.printf("%s%s\n", indent, strings.TrimRight(strings.Join(cells, "  "), " "))
	}
}

func (s *session) writeLabels(indent string, labels, scores []json.RawMessage) {
	wide := 0
	for _, l := range labels {
		wide = max(wide, len(oneLine(worded(l))))
	}
	for i, l := range labels {
		score := string(scores[i])
		var v float64
		if json.Unmarshal(scores[i], &v) == nil {
			score = fmt.Sprintf("%.4f", v)
		}
		s.printf("%s%-*s  %s\n", indent, wide, oneLine(worded(l)), oneLine(score))
	}
}

func joined(elements []json.RawMessage) string {
	words := make([]string, len(elements))
	for i, e := range elements {
		words[i] = oneLine(worded(e))
	}
	return strings.Join(words, " ")
}

// worded is an element as text: what a string says, or a number as it is written.
func worded(e json.RawMessage) string {
	var text string
	if json.Unmarshal(e, &text) == nil {
		return text
	}
	return string(e)
}
