package data

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// imageFolder is a tree of image files, read when asked for. Images always
// have three channels, as most networks trained on photographs want them.
type imageFolder struct {
	classes []string
	files   []imageFile
}

type imageFile struct {
	path  string
	label int
}

func openImageFolder(path string, o Options) (Dataset, error) {
	if !isDir(path) {
		return nil, fmt.Errorf("%s: got a file, want a folder", path)
	}
	dir, parts := path, false
	for _, s := range []Split{Train, Val, Test} {
		parts = parts || isDir(filepath.Join(path, string(s)))
	}
	if parts {
		dir = ""
		for _, s := range o.Split.candidates() {
			if sub := filepath.Join(path, string(s)); dir == "" && isDir(sub) {
				dir = sub
			}
		}
		if dir == "" {
			return nil, fmt.Errorf("%s: no folder for the %s part; %s", path, o.Split, listing(path))
		}
	}
	classes, err := readLines(path, classesFile)
	if err != nil {
		return nil, err
	}
	f := &imageFolder{classes: classes}
	if err := f.scan(dir); err != nil {
		return nil, err
	}
	if len(f.files) == 0 {
		return nil, fmt.Errorf("%s: no .jpg, .jpeg or .png file, nor in a sub-folder per class; %s", dir, listing(dir))
	}
	if o.SkipCheck {
		return f, nil
	}
	var bad problems
	for _, x := range f.files {
		bad.add(checkImageFile(x.path))
	}
	return f, bad.err(len(f.files))
}

func isImageName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png":
		return !strings.HasPrefix(name, ".")
	}
	return false
}

// scan lists the classes (sub-folders, sorted or in the order of classes.txt,
// with images at any depth) or, where there are none, the images of dir
// itself, without labels.
func (f *imageFolder) scan(dir string) error {
	top, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	listed := len(f.classes) > 0
	var errs []error
	for _, x := range top {
		sub := filepath.Join(dir, x.Name())
		if strings.HasPrefix(x.Name(), ".") || !isDir(sub) {
			continue
		}
		label := len(f.classes)
		if listed {
			label = slices.Index(f.classes, x.Name())
		} else {
			f.classes = append(f.classes, x.Name())
		}
		if label < 0 {
			errs = append(errs, fmt.Errorf("%s: the folder is not among the %d classes of %s", sub, len(f.classes), classesFile))
			continue
		}
		errs = append(errs, f.walk(sub, label))
	}
	if err := errors.Join(errs...); err != nil || len(f.files) > 0 {
		return err
	}
	for _, x := range top {
		if isImageName(x.Name()) {
			f.files = append(f.files, imageFile{filepath.Join(dir, x.Name()), -1})
		}
	}
	if len(f.files) > 0 {
		f.classes = nil
	}
	return nil
}

func (f *imageFolder) walk(dir string, label int) error {
	e, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, x := range e {
		path := filepath.Join(dir, x.Name())
		switch {
		case x.IsDir(): // links to folders are not followed: they may be circular
			if err := f.walk(path, label); err != nil {
				return err
			}
		case isImageName(x.Name()):
			f.files = append(f.files, imageFile{path, label})
		}
	}
	return nil
}

func (f *imageFolder) Len() int          { return len(f.files) }
func (f *imageFolder) Classes() []string { return f.classes }
func (f *imageFolder) Label(i int) int   { return f.files[i].label }
func (f *imageFolder) Name(i int) string { return f.files[i].path }

func (f *imageFolder) Image(i int, dst *Image) error {
	b, err := os.ReadFile(f.files[i].path)
	if err != nil {
		return err
	}
	if err := decodeImage(b, dst); err != nil {
		return fmt.Errorf("%s: %w", f.files[i].path, err)
	}
	return nil
}

// Check reads every example of ds and reports all bad ones together.
func Check(ctx context.Context, ds Dataset) error {
	var bad problems
	var m Image
	for i := range ds.Len() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := ds.Image(i, &m); err != nil {
			bad.add(fmt.Errorf("%s: %w", Name(ds, i), err))
		}
	}
	return bad.err(ds.Len())
}

// problems collects errors, counting all and keeping enough to read.
type problems struct {
	kept []error
	n    int
}

func (p *problems) add(err error) {
	if err == nil {
		return
	}
	p.n++
	if len(p.kept) < 100 {
		p.kept = append(p.kept, err)
	}
}

func (p *problems) err(of int) error {
	if p.n == 0 {
		return nil
	}
	lines := []error{fmt.Errorf("%d of %d files are bad; repair or remove", p.n, of)}
	lines = append(lines, p.kept...)
	if more := p.n - len(p.kept); more > 0 {
		lines = append(lines, fmt.Errorf("and %d more", more))
	}
	return errors.Join(lines...)
}
