package pipeline

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestPage: docs/pipelines.md shows documents that are right, and has every key.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/pipelines.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) < 4 {
		t.Errorf("%d examples", len(blocks))
	}
	for _, b := range blocks {
		if _, err := Parse(b[1]); err != nil {
			t.Errorf("%v\n%s", err, b[1])
		}
	}
	keys := map[string]bool{}
	keysOf(reflect.TypeFor[document](), keys)
	for key := range keys {
		// As a word of code by itself, or before its value.
		if !regexp.MustCompile("`" + key + "(`|: )").Match(page) {
			t.Errorf("docs/pipelines.md does not say what the key %s is", key)
		}
	}
	if len(keys) < 25 || !keys["tokenizer"] || !keys["blank"] {
		t.Errorf("found only the keys %v", keys)
	}
}

// keysOf lists the keys of a type of the document, and of those below it.
func keysOf(t reflect.Type, keys map[string]bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		keysOf(t.Elem(), keys)
		return
	case reflect.Struct:
	default:
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key != "" {
			keys[key] = true
		}
		if key != "" || f.Name == "Value" { // of a Choice or an At
			keysOf(f.Type, keys)
		}
	}
}
