package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/blindbox/blindbox/client/models"
)

// TestModelRefusal: what is said of an error is true of how far the command came.
func TestModelRefusal(t *testing.T) {
	for _, c := range []struct {
		err      error
		verified bool
		notDone  string
		fix      string
	}{
		{context.Canceled, false, "The box was not verified", "Run the command again"},
		{context.Canceled, true, "There is no answer. The request, or a part of it, may have reached the box", "Run the command again"},
		{&models.Error{Status: 401}, true, "Nothing was changed in the box", "Give the key with `--api-key-file`"},
		{&models.Error{Status: 404}, true, "Nothing was changed in the box", "Read what the box says"},
	} {
		var r *refusal
		if !errors.As(modelRefusal(c.err, c.verified), &r) || !strings.HasPrefix(r.entry.NotDone, c.notDone) || !strings.HasPrefix(r.entry.Fix, c.fix) {
			t.Errorf("%v, verified %v: %+v", c.err, c.verified, r)
		}
	}
	if err := modelRefusal(nil, true); err != nil {
		t.Error(err)
	}
}

func TestShapeOf(t *testing.T) {
	for text, want := range map[string]string{
		"7": "[] [7]", " 7 ": "[] [7]", `"a"`: `[] ["a"]`, "[]": "[0] []", "[1, 2]": "[2] [1, 2]", "[[1,2],[3,4],[5,6]]": "[3 2] [[1,2],[3,4],[5,6]]",
		" [[[1]]] ": "[1 1 1] [[[1]]]", "[[1,2],[3]]": "[2 2] [[1,2],[3]]", "[[], []]": "[2 0] [[], []]",
	} {
		shape, list, err := shapeOf([]byte(text))
		if got := fmt.Sprintf("%v %s", shape, list); err != nil || got != want {
			t.Errorf("%q: %s, %v; expected %s", text, got, err, want)
		}
	}
	for _, text := range []string{"[1", "[1]]", "[1] [2]", "[1,]", "[[1], 2", "maybe", "", "1 2"} {
		if shape, _, err := shapeOf([]byte(text)); err == nil {
			t.Errorf("%q has the shape %v", text, shape)
		}
	}
}

func TestNameOf(t *testing.T) {
	for file, want := range map[string]string{
		"xray.onnx": "xray", "/a/b/my model (2).onnx": "my-model-2", "x.tar.onnx": "x.tar", "...onnx": "", "é.onnx": "", "a_b-c.1.onnx": "a_b-c.1",
	} {
		if got := nameOf(file); got != want {
			t.Errorf("%s: %q, expected %q", file, got, want)
		}
	}
}
