// The global teardown for Jest, the counterpart of global-setup.
'use strict';

module.exports = require('./global-setup.js').teardown;
