package pipeline

import (
	"fmt"
	"reflect"

	"github.com/blindbox/blindbox/internal/strictyaml"
)

// document is pipeline.yaml as it is written: either a task, or model, input and output.
type document struct {
	Pos    strictyaml.Pos
	Model  name                       `yaml:"model"`
	Input  strictyaml.Choice[inputs]  `yaml:"input"`
	Output []strictyaml.Choice[steps] `yaml:"output"`
	// Tasks follow: fields that are a task.
	OCR        *ocrTask        `yaml:"ocr"`
	Voice      *voiceTask      `yaml:"voice"`
	Transcribe *transcribeTask `yaml:"transcribe"`
}

// inputs is the table of what callers may send. Each field is an input.
type inputs struct {
	Text  *textInput  `yaml:"text"`
	Image *imageInput `yaml:"image"`
	Audio *audioInput `yaml:"audio"`
}

// steps is the table of what may be done with what a model says. Each field is a step.
type steps struct {
	Take      *takeStep      `yaml:"take"`
	Pool      *poolStep      `yaml:"pool"`
	Normalize *normalizeStep `yaml:"normalize"`
	Softmax   *softmaxStep   `yaml:"softmax"`
	Top       *topStep       `yaml:"top"`
	Labels    *labelsStep    `yaml:"labels"`
	CTC       *ctcStep       `yaml:"ctc"`
}

// Document is a pipeline.yaml that says something that can be done, as far as the
// document alone can tell.
type Document struct {
	task          task
	models, files []string
}

// Parse reads a pipeline.yaml. The error names every line that is wrong.
func Parse(doc []byte) (*Document, error) {
	var d document
	if err := strictyaml.Decode(doc, &d); err != nil {
		return nil, fmt.Errorf("pipeline.yaml: %w", err)
	}
	var c checker
	t := d.task(&c)
	if err := c.errs.Err(); err != nil {
		return nil, fmt.Errorf("pipeline.yaml: %w", err)
	}
	return &Document{task: t, models: c.models, files: c.files}, nil
}

// Models returns the names of the ONNX files that the document refers to, in its order.
// The caller does not change them.
func (d *Document) Models() []string { return d.models }

// Files returns the names of all other files that it refers to.
func (d *Document) Files() []string { return d.files }

// task returns what the document asks for, and has it checked.
func (d *document) task(c *checker) task {
	tasks := chosen[task](d)
	plain := d.Model.Pos.Line != 0 || d.Input.Pos.Line != 0 || d.Output != nil
	switch {
	case len(tasks) > 1 || len(tasks) == 1 && plain:
		c.refuse(d.Pos, "", "more than one pipeline", "a task alone, or the keys model, input and output")
		return nil
	case len(tasks) == 1:
		tasks[0].check(c)
		return tasks[0]
	}
	t := &plainTask{at: d.Pos, model: d.Model, input: d.Input, output: d.Output}
	t.check(c)
	return t
}

// chosen returns the fields of a table that the document gave, in the table's order.
func chosen[K any](table any) (list []K) {
	v := reflect.ValueOf(table).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Pointer && !f.IsNil() {
			if k, ok := f.Interface().(K); ok {
				list = append(list, k)
			}
		}
	}
	return list
}
