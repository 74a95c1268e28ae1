// The global teardown for Jest, the counterpart of global-setup.js.
'use strict';

module.exports = require('./global-setup.js').teardown;
