package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/client/models"
)

func outputOf(name string, data string, shape ...int64) models.Tensor {
	return models.Tensor{Value: models.Value{Name: name, Shape: shape}, Data: json.RawMessage(data)}
}

// TestAnswers: what is printed of what a model says. It may be anybody's model.
func TestAnswers(t *testing.T) {
	for want, c := range map[string]struct {
		out     []models.Tensor
		items   []string
		several bool
	}{
		"0.5 -1e-05\n": {[]models.Tensor{outputOf("embedding", "[0.5, -1e-05]", 1, 2), outputOf("tokens", "[3]", 1)}, []string{"a"}, true},
		"1\n2\n":       {[]models.Tensor{outputOf("embedding", "[1,2]", 2, 1)}, []string{"a", "b"}, true},
		"a\n  dog    0.7500\n  mouse  0.2500\nb\n  cat  1.0000\n  dog  0.0000\n": {[]models.Tensor{
			outputOf("label", `["dog","mouse","cat","dog"]`, 2, 2), outputOf("score", "[0.75,0.25,1,1e-9]", 2, 2), outputOf("tokens", "[3,4]", 2)}, []string{"a", "b"}, true},
		"first line\nsecond\nthird\n": {[]models.Tensor{outputOf("text", `["first line\nsecond\n","third"]`, 2), outputOf("score", "[1,2]", 2)}, []string{"p.png"}, false},
		"a\n  one\nb\n  two\n":        {[]models.Tensor{outputOf("text", `["one","two"]`, 2)}, []string{"a", "b"}, true},
		"start  end\n0.5    1.2\n12     12\n": {[]models.Tensor{
			outputOf("start", "[0.5,12]", 2), outputOf("end", "[1.2,12]", 2), outputOf("probability", "[0.98,1,1]", 3)}, []string{"a.wav"}, false},
		"x    yy\n1.5  2\n3    4\n": {[]models.Tensor{outputOf("x", "[1.5,3]", 2), outputOf("yy", "[2,4]", 2)}, []string{"a.png"}, false},
		"start  end\n":              {[]models.Tensor{outputOf("start", "[]", 0), outputOf("end", "[]", 0)}, []string{"a.wav"}, false},
		"x  1 2\ny  3\n":            {[]models.Tensor{outputOf("x", "[1,2]", 2), outputOf("y", "[3]", 1)}, []string{"a.wav"}, false},
		" [2J a b\n":                {[]models.Tensor{outputOf("text", `["\u001b[2J\u202ea\tb"]`, 1)}, []string{"a"}, true},
	} {
		answers, err := answersOf(c.out, len(c.items), c.several)
		if err != nil {
			t.Errorf("%q: %v", want, err)
			continue
		}
		var b bytes.Buffer
		s := &session{stdout: &b}
		for i, a := range answers {
			s.writeAnswer(c.items[i], a, len(c.items) > 1)
		}
		if got := b.String(); got != want {
			t.Errorf("%q, expected %q", got, want)
		}
	}
	for _, out := range []models.Tensor{outputOf("x", "{}", 1), outputOf("x", "[1]", 1), outputOf("x", "[1,2,3]", 2), outputOf("x", "[1,2]")} {
		if _, err := answersOf([]models.Tensor{out}, 2, true); err == nil {
			t.Errorf("%+v is read", out)
		}
	}
}

func TestItem(t *testing.T) {
	s := &session{stdin: strings.NewReader("what comes in")}
	for _, c := range []struct{ what, argument, want string }{{"text", "hello", "hello"}, {"text", "-", "what comes in"}, {"text", "@modelask_test.go", "package main"}, {"image", "modelask_test.go", "package main"}} {
		if got, err := s.item(c.what, c.argument); err != nil || !strings.HasPrefix(string(got), c.want) {
			t.Errorf("%v: %.40q, %v", c, got, err)
		}
	}
	var r *refusal
	if _, err := s.item("audio", "none.wav"); !errors.As(err, &r) || r.expected != "a file: the model takes recordings, WAV files" {
		t.Errorf("a file that is not there: %v", err)
	}
}
