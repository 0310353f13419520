package strictjson

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
)

// Options changes how Decode treats a document. The zero value is the strict one.
type Options struct {
	Limits
	AllowUnknown bool // skip members that the target does not name
}

// Decode fills out, a non-nil pointer, from exactly one document.
//
// Targets are structs (exported fields, named exactly by their json tag or, without
// one, by the field's name; `json:"-"` is left out), maps with string keys,
// slices, arrays of the exact length, pointers, strings, bools and numbers. A
// []byte is padded base64, as in encoding/json. A type that implements Value
// reads itself. null fills pointers, slices and maps only; for anything else it
// is an error. A member that is absent leaves its target as it was.
func Decode(data []byte, out any, opt Options) error {
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("strictjson: decoding into %T, must be a non-nil pointer", out)
	}
	r, err := NewReader(data, opt.Limits)
	if err != nil {
		return err
	}
	d := decoder{r, opt.AllowUnknown}
	if err := d.value(v.Elem()); err != nil {
		return err
	}
	return r.End()
}

// Value is a type that reads itself. It must read exactly one value.
type Value interface {
	ReadStrictJSON(r *Reader) error
}

type decoder struct {
	r            *Reader
	allowUnknown bool
}

func (d decoder) value(v reflect.Value) error {
	if v.CanAddr() {
		if self, ok := v.Addr().Interface().(Value); ok {
			return self.ReadStrictJSON(d.r)
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		if d.r.Kind() == Null {
			v.SetZero()
			return d.r.Null()
		}
	}
	return d.present(v)
}

// present reads a value that is not null.
func (d decoder) present(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(v.Elem())
	case reflect.Struct:
		return d.object(v)
	case reflect.Map:
		return d.mapping(v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return d.bytes(v)
		}
		return d.slice(v)
	case reflect.Array:
		return d.array(v)
	}
	return d.scalar(v)
}

func (d decoder) scalar(v reflect.Value) error {
	switch v.Kind() {
	case reflect.String:
		s, err := d.r.String()
		v.SetString(s)
		return err
	case reflect.Bool:
		b, err := d.r.Bool()
		v.SetBool(b)
		return err
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := d.r.Int(v.Type().Bits())
		v.SetInt(n)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := d.r.Uint(v.Type().Bits())
		v.SetUint(n)
		return err
	case reflect.Float32, reflect.Float64:
		f, err := d.r.Float(v.Type().Bits())
		v.SetFloat(f)
		return err
	}
	return fmt.Errorf("strictjson: cannot decode into %s", v.Type())
}

func (d decoder) object(v reflect.Value) error {
	return d.r.Object(func(name string) error {
		if f, ok := field(v, name); ok {
			return d.value(f)
		}
		if !d.allowUnknown {
			return d.r.errorf("unknown member %s", quote(name))
		}
		return d.r.skip()
	})
}

// field finds the exported field that is named exactly so.
func field(v reflect.Value, name string) (reflect.Value, bool) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" {
			tag = f.Name
		}
		if f.IsExported() && tag == name && f.Tag.Get("json") != "-" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func (d decoder) mapping(v reflect.Value) error {
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		return fmt.Errorf("strictjson: cannot decode into %s", t)
	}
	v.Set(reflect.MakeMap(t))
	return d.r.Object(func(name string) error {
		e := reflect.New(t.Elem()).Elem()
		if err := d.value(e); err != nil {
			return err
		}
		v.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), e)
		return nil
	})
}

func (d decoder) slice(v reflect.Value) error {
	list := reflect.MakeSlice(v.Type(), 0, 0)
	err := d.r.Array(func() error {
		e := reflect.New(v.Type().Elem()).Elem()
		if err := d.value(e); err != nil {
			return err
		}
		list = reflect.Append(list, e)
		return nil
	})
	v.Set(list)
	return err
}

func (d decoder) array(v reflect.Value) error {
	n := 0
	err := d.r.Array(func() error {
		if n == v.Len() {
			return d.r.errorf("more than %d elements", n)
		}
		n++
		return d.value(v.Index(n - 1))
	})
	if err == nil && n != v.Len() {
		err = d.r.errorf("%d elements, expected %d", n, v.Len())
	}
	return err
}

func (d decoder) bytes(v reflect.Value) error {
	s, err := d.r.String()
	if err != nil {
		return err
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") { // the decoder skips line breaks
		return d.r.errorf("string is not base64")
	}
	v.SetBytes(b)
	return nil
}
