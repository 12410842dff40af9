package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"os"
)

// Pixels a file may claim: one mebi and this many per byte. Deflate cannot
// exceed 1,032 bytes for one, and photographs have about ten pixels a byte.
const (
	pixelFloor = 1 << 20
	pixelRatio = 1032
)

type imageFormat struct {
	name   string
	magic  string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

func sniff(head []byte) (imageFormat, error) {
	for _, f := range []imageFormat{
		{"JPEG", "\xff\xd8", jpeg.DecodeConfig, jpeg.Decode},
		{"PNG", "\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f, nil
		}
	}
	if len(head) == 0 {
		return imageFormat{}, errors.New("the file is empty")
	}
	return imageFormat{}, fmt.Errorf("starts with % x, want a JPEG or PNG file", head[:min(len(head), 8)])
}

func checkSize(c image.Config, size int64) error {
	if c.Width <= 0 || c.Height <= 0 {
		return fmt.Errorf("claims %d×%d pixels", c.Width, c.Height)
	}
	if int64(c.Width)*int64(c.Height) > pixelFloor+pixelRatio*size {
		return fmt.Errorf("claims %d×%d pixels in %d bytes", c.Width, c.Height, size)
	}
	return nil
}

// checkImageFile looks at the header only.
func checkImageFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: want a regular file", path)
	}
	var head [8]byte
	n, err := io.ReadFull(f, head[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: %w", path, err)
	}
	format, err := sniff(head[:n])
	if err == nil {
		var c image.Config
		if c, err = format.config(io.MultiReader(bytes.NewReader(head[:n]), f)); err != nil {
			err = fmt.Errorf("%s header: %w", format.name, err)
		} else {
			err = checkSize(c, info.Size())
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// decodeImage decodes a JPEG or PNG file to three channels. Transparency is
// dropped, not blended.
func decodeImage(b []byte, dst *Image) error {
	format, err := sniff(b)
	if err != nil {
		return err
	}
	c, err := format.config(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%s header: %w", format.name, err)
	}
	if err := checkSize(c, int64(len(b))); err != nil {
		return err
	}
	m, err := format.decode(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("%s data: %w", format.name, err)
	}
	toRGB(m, dst)
	return nil
}

func toRGB(m image.Image, dst *Image) {
	r := m.Bounds()
	w, h := r.Dx(), r.Dy()
	pix := dst.SetBytes(h, w, 3)
	if m, ok := m.(*image.YCbCr); ok {
		rgbOfYCbCr(m, pix)
		return
	}
	for y := range h {
		row := pix[y*w*3:][:w*3]
		switch m := m.(type) {
		case *image.Gray:
			for x, v := range m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):][:w] {
				row[3*x], row[3*x+1], row[3*x+2] = v, v, v
			}
		case *image.RGBA: // opaque, as PNG decodes it
			copyRGB(row, m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):][:4*w])
		case *image.NRGBA:
			copyRGB(row, m.Pix[m.PixOffset(r.Min.X, r.Min.Y+y):][:4*w])
		default:
			for x := range w {
				c := color.NRGBAModel.Convert(m.At(r.Min.X+x, r.Min.Y+y)).(color.NRGBA)
				row[3*x], row[3*x+1], row[3*x+2] = c.R, c.G, c.B
			}
		}
	}
}

func copyRGB(dst, src []uint8) {
	for x := 0; 4*x < len(src); x++ {
		dst[3*x], dst[3*x+1], dst[3*x+2] = src[4*x], src[4*x+1], src[4*x+2]
	}
}
