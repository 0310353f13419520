package policy

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// checker compares a decoded document with the tags of its types. What needs
// more than one value, or more than a pattern, is checked by builder.
type checker struct {
	forms map[string]form
	errs  *strictyaml.Errors
	// bad are the places that were refused, so that nothing is said twice.
	bad map[strictyaml.Pos]bool
}

func (c *checker) refuse(p strictyaml.Pos, path, seen, expected string) {
	c.errs.Add(p, path, "", seen, expected)
	c.bad[p] = true
}

// structure checks the fields of a mapping and which of them are there.
func (c *checker) structure(v reflect.Value, path string) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Type == reflect.TypeFor[strictyaml.Pos]() {
			c.together(v, f.Tag, v.Field(i).Interface().(strictyaml.Pos), path)
			continue
		}
		c.value(v.Field(i), f.Tag, join(path, keyOf(f)))
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func keyOf(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

// together checks which keys stand beside each other. Keys with a bar between them
// count as one.
func (c *checker) together(v reflect.Value, tag reflect.StructTag, at strictyaml.Pos, path string) {
	one, atMost := strings.Fields(tag.Get("one")), strings.Fields(tag.Get("atmost"))
	var seen []string
	for _, group := range append(one, atMost...) {
		if keys := presentOf(v, strings.Split(group, "|")); len(keys) > 0 {
			seen = append(seen, strings.Join(keys, " with "))
		}
	}
	none, expected := "none of "+strings.Join(one, ", "), "one of them"
	if len(one)+len(atMost) == 2 {
		none, expected = "neither "+strings.Join(one, " nor "), "one of the two"
	}
	switch {
	case len(seen) > 1:
		c.refuse(at, path, strings.Join(seen, " and "), expected)
	case len(seen) == 0 && len(one) > 0:
		c.refuse(at, path, strings.ReplaceAll(none, "|", " or "), expected)
	}
}

// presentOf returns those of the keys that a mapping has.
func presentOf(v reflect.Value, keys []string) []string {
	var present []string
	for i := range v.NumField() {
		if key := keyOf(v.Type().Field(i)); slices.Contains(keys, key) && !v.Field(i).IsZero() {
			present = append(present, key)
		}
	}
	return present
}

func (c *checker) value(v reflect.Value, tag reflect.StructTag, path string) {
	if f, ok := c.forms[tag.Get("form")]; ok && v.Kind() == reflect.Struct {
		c.leaf(v, f, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		switch {
		case v.IsNil():
		case v.Elem().Kind() == reflect.Slice:
			c.list(v.Elem(), tag, path)
		default:
			c.structure(v.Elem(), path)
		}
	case reflect.Slice:
		c.list(v, tag, path)
	case reflect.Map:
		c.mapping(v, tag, path)
	case reflect.Struct:
		// An OrNone. Any other value has no form and nothing to check.
		c.value(v.FieldByName("Value"), "", path)
	}
}

func (c *checker) list(v reflect.Value, tag reflect.StructTag, path string) {
	f, plain := c.forms[tag.Get("form")]
	first := map[string]strictyaml.Pos{}
	for i := range v.Len() {
		at := path + "[" + strconv.Itoa(i) + "]"
		if !plain {
			c.structure(v.Index(i), at)
			continue
		}
		t := v.Index(i).Interface().(text)
		c.leaf(v.Index(i), f, at)
		if before, twice := first[t.Value]; twice && tag.Get("form") != "argument" {
			c.errs.Add(t.Pos, at, fmt.Sprintf("the same as at %s", before), "", "")
			c.bad[t.Pos] = true
		}
		first[t.Value] = t.Pos
	}
}

func (c *checker) mapping(v reflect.Value, tag reflect.StructTag, path string) {
	keys := c.forms[tag.Get("keys")]
	entries := v.Interface().(map[string]text)
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		if !keys.fits(key) {
			c.refuse(entries[key].Pos, path, strictyaml.Quote(key), keys.expected)
		}
		c.leaf(reflect.ValueOf(entries[key]), c.forms[tag.Get("form")], path+"."+key)
	}
}

// leaf checks one value that knows its place.
func (c *checker) leaf(v reflect.Value, f form, path string) {
	switch at := v.Interface().(type) {
	case text:
		c.words(at.Pos, at.Value, f, path)
	case strictyaml.At[scalar]:
		c.words(at.Pos, string(at.Value), f, path)
	case strictyaml.At[int]:
		c.number(at.Pos, int64(at.Value), f, path, strconv.Itoa)
	case strictyaml.At[time.Duration]:
		c.number(at.Pos, int64(at.Value), f, path, func(n int) string { return time.Duration(n).String() })
	}
}

func (c *checker) words(at strictyaml.Pos, s string, f form, path string) {
	if at.Line == 0 || f.fits(s) {
		return
	}
	expected := f.expected
	if expected == "" {
		expected = oneOf(f.words)
	}
	c.refuse(at, path, strictyaml.Quote(s), expected)
}

func (c *checker) number(at strictyaml.Pos, n int64, f form, path string, say func(int) string) {
	if at.Line == 0 || f.min <= n && n <= f.max {
		return
	}
	expected := f.expected
	if expected == "" {
		expected = say(int(f.min)) + " to " + say(int(f.max))
	}
	c.refuse(at, path, say(int(n)), expected)
}
