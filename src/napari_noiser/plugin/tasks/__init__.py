"""Tasks in the background: enhancing, denoising, training, fitting, previews."""
