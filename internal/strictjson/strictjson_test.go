package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
)

type inner struct {
	N int8 `json:"n"`
}

type target struct {
	Name   string           `json:"name"`
	Count  int64            `json:"count,omitempty"`
	Size   uint8            `json:"size"`
	Ratio  float32          `json:"ratio"`
	Wide   float64          `json:"wide"`
	On     bool             `json:"on"`
	List   []int            `json:"list"`
	Pair   [2]string        `json:"pair"`
	Inner  inner            `json:"inner"`
	Maybe  *inner           `json:"maybe"`
	Map    map[string]inner `json:"map"`
	Raw    []byte           `json:"raw"`
	Plain  string
	Hidden string `json:"-"`
	secret string
}

func TestDecodeFillsEveryKind(t *testing.T) {
	var got target
	doc := ` {"name":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é","count":-9223372036854775808,"size":255,"ratio":1.5e0,
		"wide":-0.25E+1,"on":true,"list":[1,2,3],"pair":["x","y"],"inner":{"n":-128},"maybe":{"n":1},
		"map":{"k":{"n":2}},"raw":"AQI=","Plain":"p"} `
	if err := Decode([]byte(doc), &got, Options{}); err != nil {
		t.Fatal(err)
	}
	want := target{Name: "a\"\\/\b\f\n\r\té😀é", Count: math.MinInt64, Size: 255, Ratio: 1.5, Wide: -2.5, On: true,
		List: []int{1, 2, 3}, Pair: [2]string{"x", "y"}, Inner: inner{-128}, Maybe: &inner{1},
		Map: map[string]inner{"k": {2}}, Raw: []byte{1, 2}, Plain: "p"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got.secret != "" {
		t.Error("an unexported field was filled")
	}
}

func TestNullClearsWhatCanBeNull(t *testing.T) {
	got := target{Maybe: &inner{1}, List: []int{1}, Map: map[string]inner{"k": {}}, Raw: []byte{1}}
	if err := Decode([]byte(`{"maybe":null,"list":null,"map":null,"raw":null}`), &got, Options{}); err != nil {
		t.Fatal(err)
	}
	if got.Maybe != nil || got.List != nil || got.Map != nil || got.Raw != nil {
		t.Errorf("got %+v", got)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ doc, want string }{
		"duplicate member":         {`{"name":"a","name":"a"}`, `"name" is there twice`},
		"duplicate by escape":      {`{"name":"a","n\u0061me":"b"}`, `"name" is there twice`},
		"duplicate in unknown":     {`{"map":{"k":{"n":1},"k":{"n":1}}}`, `"k" is there twice`},
		"case variant":             {`{"Name":"a"}`, `unknown member "Name"`},
		"hidden field":             {`{"Hidden":"a"}`, `unknown member "Hidden"`},
		"field named dash":         {`{"-":"a"}`, `unknown member "-"`},
		"unexported field":         {`{"secret":"a"}`, `unknown member "secret"`},
		"unknown member":           {`{"other":1}`, `unknown member "other"`},
		"trailing document":        {`{} {}`, "follows the document"},
		"trailing letter":          {`{}x`, "follows the document"},
		"null for number":          {`{"count":null}`, "found null, expected number"},
		"null for string":          {`{"name":null}`, "found null, expected string"},
		"null for bool":            {`{"on":null}`, "found null, expected bool"},
		"null for object":          {`{"inner":null}`, "found null, expected object"},
		"null for array":           {`{"pair":null}`, "found null, expected array"},
		"null document":            {`null`, "found null, expected object"},
		"string for number":        {`{"count":"1"}`, "found string, expected number"},
		"number for bool":          {`{"on":1}`, "found number, expected bool"},
		"float for int":            {`{"count":1.0}`, "not an int64"},
		"exponent for int":         {`{"count":1e3}`, "not an int64"},
		"int64 overflow":           {`{"count":9223372036854775808}`, "not an int64"},
		"int8 overflow":            {`{"inner":{"n":128}}`, "not an int8"},
		"uint8 overflow":           {`{"size":256}`, "not a uint8"},
		"negative uint":            {`{"size":-1}`, "not a uint8"},
		"float32 overflow":         {`{"ratio":1e39}`, "float32"},
		"float64 overflow":         {`{"wide":1e400}`, "float64"},
		"leading zero":             {`{"count":01}`, "starts with 0"},
		"plus sign":                {`{"count":+1}`, "not a JSON value"},
		"bare point":               {`{"wide":.5}`, "not a JSON value"},
		"point without digit":      {`{"wide":1.}`, "without a digit"},
		"exponent without digit":   {`{"wide":1e}`, "without a digit"},
		"minus alone":              {`{"count":-}`, "without a digit"},
		"NaN":                      {`{"wide":NaN}`, "not a JSON value"},
		"hexadecimal":              {`{"count":0x10}`, "expected ','"},
		"invalid UTF-8":            {"{\"name\":\"\xff\"}", "not UTF-8"},
		"invalid UTF-8 in space":   {"{}\xff", "not UTF-8"},
		"overlong UTF-8":           {"{\"name\":\"\xc0\x80\"}", "not UTF-8"},
		"lone high surrogate":      {`{"name":"\ud800"}`, "surrogate"},
		"lone low surrogate":       {`{"name":"\udc00"}`, "surrogate"},
		"high surrogate twice":     {`{"name":"\ud800\ud800"}`, "surrogate"},
		"high surrogate then text": {`{"name":"\ud800x"}`, "surrogate"},
		"control character":        {"{\"name\":\"a\nb\"}", "control character"},
		"control after escape":     {"{\"name\":\"\\t\x01\"}", "control character"},
		"unknown escape":           {`{"name":"\x41"}`, "unknown escape"},
		"cut escape":               {`{"name":"\u00`, "cut escape"},
		"second escape no hex":     {`{"name":"\ud83d\uzzzz"}`, "not hexadecimal"},
		"map with a wrong value":   {`{"map":{"k":{"n":300}}}`, "not an int8"},
		"base64 number":            {`{"raw":1}`, "found number, expected string"},
		"unsigned text":            {`{"size":"1"}`, "found string, expected number"},
		"signed escape":            {`{"name":"\u+123"}`, "not hexadecimal"},
		"cut string":               {`{"name":"a`, "without an end"},
		"cut at backslash":         {`{"name":"\`, "without an end"},
		"trailing comma":           {`{"list":[1,]}`, "not a JSON value"},
		"trailing member comma":    {`{"on":true,}`, "not a JSON value"},
		"comment":                  {`{/**/}`, "not a JSON value"},
		"single quotes":            {`{'on':true}`, "not a JSON value"},
		"missing colon":            {`{"on" true}`, "expected ':'"},
		"missing comma":            {`{"on":true "size":1}`, "expected ','"},
		"wrong bracket":            {`{"list":[1}`, "expected ',' or ']'"},
		"array too short":          {`{"pair":["a"]}`, "1 elements, expected 2"},
		"array too long":           {`{"pair":["a","b","c"]}`, "more than 2"},
		"byte order mark":          {"\ufeff{}", "not a JSON value"},
		"empty document":           {``, "found nothing"},
		"misspelt literal":         {`{"on":truE}`, "not a JSON value"},
		"base64 without padding":   {`{"raw":"AQI"}`, "base64"},
		"base64 stray bits":        {`{"raw":"AQJ="}`, "base64"},
		"base64 line break":        {`{"raw":"AQ\nI="}`, "base64"},
		"too deep":                 {strings.Repeat("[", 40), "found array"},
	} {
		t.Run(name, func(t *testing.T) {
			var got target
			err := Decode([]byte(c.doc), &got, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "strictjson: ") {
				t.Errorf("no prefix: %v", err)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	var list [][][]int
	if err := Decode([]byte(`[[[1]]]`), &list, Options{Limits: Limits{Depth: 3}}); err != nil {
		t.Error(err)
	}
	if err := Decode([]byte(`[[[1]],[[2]]]`), &list, Options{Limits: Limits{Depth: 2}}); err == nil {
		t.Error("depth 3 accepted under limit 2")
	}
	if err := Decode([]byte(`[[],[],[[1]]]`), &list, Options{Limits: Limits{Depth: 3}}); err != nil {
		t.Errorf("empty arrays must not use up depth: %v", err)
	}
	if err := Decode([]byte(`[ ]`), &list, Options{Limits: Limits{Bytes: 2}}); err == nil {
		t.Error("3 bytes accepted under limit 2")
	}
	hostile := []byte(`{"x":` + strings.Repeat("[", 1<<19))
	var got target
	if err := Decode(hostile, &got, Options{AllowUnknown: true}); err == nil || !strings.Contains(err.Error(), "inside each other") {
		t.Errorf("got %v", err)
	}
}

func TestUnknownMembersCanBeAllowedButMustBeSound(t *testing.T) {
	var got target
	opt := Options{AllowUnknown: true}
	if err := Decode([]byte(`{"other":{"a":[1,null,"x",true,{}],"b":-1.5e3},"name":"n"}`), &got, opt); err != nil || got.Name != "n" {
		t.Errorf("%q, %v", got.Name, err)
	}
	for _, doc := range []string{`{"other":{"a":1,"a":1}}`, `{"other":01}`, `{"other":"\ud800"}`, `{"other":1,"other":1}`} {
		if err := Decode([]byte(doc), &got, opt); err == nil {
			t.Errorf("%s accepted", doc)
		}
	}
}

func TestManyMembersStayUnique(t *testing.T) {
	var doc bytes.Buffer
	doc.WriteByte('{')
	for i := range 100 {
		doc.WriteString(`"` + strings.Repeat("a", i+1) + `":{"n":1},`)
	}
	var got map[string]inner
	good := append(bytes.TrimSuffix(bytes.Clone(doc.Bytes()), []byte(",")), '}')
	if err := Decode(good, &got, Options{}); err != nil || len(got) != 100 {
		t.Errorf("%d members, %v", len(got), err)
	}
	doc.WriteString(`"aaaaa":{"n":1}}`)
	if err := Decode(doc.Bytes(), &got, Options{}); err == nil {
		t.Error("a duplicate among many was accepted")
	}
}

func TestMessagesBoundNames(t *testing.T) {
	var got target
	err := Decode([]byte(`{"`+strings.Repeat("x", 10000)+`":1}`), &got, Options{})
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("%v", err)
	}
}

type upper string

func (u *upper) ReadStrictJSON(r *Reader) error {
	s, err := r.String()
	*u = upper(strings.ToUpper(s))
	return err
}

func TestValueReadsItself(t *testing.T) {
	var got struct {
		A upper   `json:"a"`
		B []upper `json:"b"`
	}
	if err := Decode([]byte(`{"a":"x","b":["y"]}`), &got, Options{}); err != nil || got.A != "X" || got.B[0] != "Y" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTargetsThatCannotBeFilled(t *testing.T) {
	var ch chan int
	var nothing *target
	var keys map[int]int
	for _, out := range []any{target{}, nothing, nil, &ch, &keys} {
		if err := Decode([]byte(`{}`), out, Options{}); err == nil {
			t.Errorf("%T accepted", out)
		}
	}
}

func TestErrorTellsWhere(t *testing.T) {
	var got target
	var e *Error
	if err := Decode([]byte(`{"count": x}`), &got, Options{}); !errors.As(err, &e) || e.Offset != 10 {
		t.Errorf("%v", err)
	}
	if err := Decode([]byte("{\"n\":\"\xff\"}"), &got, Options{}); !errors.As(err, &e) || e.Offset != 6 {
		t.Errorf("%v", err)
	}
}

// anything reads any document into the values that encoding/json uses.
type anything struct{ v any }

func (a *anything) ReadStrictJSON(r *Reader) (err error) {
	switch r.Kind() {
	case Null:
		a.v, err = nil, r.Null()
	case Bool:
		a.v, err = r.Bool()
	case Number:
		a.v, err = r.Float(64)
	case String:
		a.v, err = r.String()
	case Array:
		list := []any{}
		err = r.Array(func() error {
			var e anything
			err := e.ReadStrictJSON(r)
			list = append(list, e.v)
			return err
		})
		a.v = list
	default:
		m := map[string]any{}
		err = r.Object(func(name string) error {
			var e anything
			err := e.ReadStrictJSON(r)
			m[name] = e.v
			return err
		})
		a.v = m
	}
	return err
}

// FuzzReader holds the reader to encoding/json: what is accepted here is
// accepted there, and means the same.
func FuzzReader(f *testing.F) {
	for _, s := range []string{`{"a":[1,-2.5e3,true,null,"x\u00e9\n"],"b":{}}`, `[]`, `"\ud83d\ude00"`, `{"a":1,"a":2}`,
		`[[[[]]]]`, `1e400`, "\"\xff\"", `{"a":`, `-0`, `{"a" : 1 , "b" : [ ] }`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got anything
		if Decode(data, &got, Options{}) == nil {
			var want any
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatalf("accepted what encoding/json refuses: %v", err)
			}
			if !reflect.DeepEqual(got.v, want) {
				t.Fatalf("got %#v, encoding/json %#v", got.v, want)
			}
		}
		var s target
		if Decode(data, &s, Options{}) == nil {
			var want target
			if err := json.Unmarshal(data, &want); err != nil || !reflect.DeepEqual(s, want) {
				t.Fatalf("got %+v, encoding/json %+v, %v", s, want, err)
			}
		}
	})
}

func BenchmarkFloats(b *testing.B) {
	doc := []byte("[" + strings.Repeat("0.12345,", 9999) + "1]")
	b.SetBytes(int64(len(doc)))
	for b.Loop() {
		r, err := NewReader(doc, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Array(func() error { _, err := r.Float(32); return err }); err != nil {
			b.Fatal(err)
		}
	}
}

// TestNullIsSaid: what is there in its place is named.
func TestNullIsSaid(t *testing.T) {
	r, err := NewReader([]byte("1"), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Null(); err == nil || !strings.Contains(err.Error(), "found number, expected null") {
		t.Errorf("%v", err)
	}
}

// TestStop: a long document is not read on when nobody waits for it any more.
func TestStop(t *testing.T) {
	gone := errors.New("nobody waits")
	for name, doc := range map[string]string{
		"elements": "[" + strings.Repeat("0,", 1000) + "0]",
		"members":  `{"a":0,"b":{"c":0},"d":[` + strings.Repeat("{},", 1000) + "0]}",
		"escapes":  `"` + strings.Repeat(`\u0041`, 1000) + `"`,
	} {
		looks := 0
		r, err := NewReader([]byte(doc), Limits{Stop: func() error {
			if looks++; looks == 3 {
				return gone
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Skip(); !errors.Is(err, gone) || looks != 3 {
			t.Errorf("%s: %v after %d looks", name, err, looks)
		}
	}
}
